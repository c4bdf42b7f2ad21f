"""The books prove themselves: what must hold between entries and postings."""

import sqlalchemy as sa

from donorportal.ledger.models import Entry, Posting


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each rule of double entry that does not hold; empty is right.

    The database enforces these rules as well; this also sees what was changed behind its back.
    """
    unbalanced = connection.execute(
        sa.select(Posting.entry_id, Posting.currency, sa.func.sum(Posting.amount_minor))
        .group_by(Posting.entry_id, Posting.currency)
        .having(sa.func.sum(Posting.amount_minor) != 0)
        .limit(20)
    )
    found = [f"entry {entry} is off by {total} {code}" for entry, code, total in unbalanced]
    orphans = connection.execute(
        sa.select(Posting.id)
        .outerjoin(Entry, Entry.id == Posting.entry_id)
        .where(Entry.id.is_(None))
        .limit(20)
    )
    found += [f"posting {posting} belongs to no entry" for (posting,) in orphans]
    empty = connection.execute(
        sa.select(Entry.id).where(~sa.exists().where(Posting.entry_id == Entry.id)).limit(20)
    )
    return found + [f"entry {entry} has no postings" for (entry,) in empty]
