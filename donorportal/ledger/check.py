"""The books prove themselves: what must hold between entries and postings."""

from dataclasses import dataclass

import sqlalchemy as sa

from donorportal.ledger import sums
from donorportal.ledger.models import Entry, Posting

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Span:
    """The entries after one and through another."""

    after: int
    through: int

    def covers(self, entry_id: sa.SQLColumnExpression[int]) -> sa.ColumnElement[bool]:
        """Return the condition that an entry lies within."""
        return sa.and_(entry_id > self.after, entry_id <= self.through)


def violations(connection: sa.Connection, span: Span | None = None) -> list[str]:
    """Return a sentence for each rule of double entry that does not hold; empty is right.

    The database enforces these rules as well; this also sees what was changed behind its back.
    With a *span* only the entries in it are looked at.
    """
    of_posting = span.covers(Posting.entry_id) if span else sa.true()
    of_entry = span.covers(Entry.id) if span else sa.true()
    found = [
        *_unbalanced(connection, of_posting),
        *_orphans(connection, of_posting),
        *_empty(connection, of_entry),
    ]
    return found if span else found + sums.violations(connection)


def _unbalanced(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[str]:
    rows = connection.execute(
        sa.select(Posting.entry_id, Posting.currency, sa.func.sum(Posting.amount_minor))
        .where(which)
        .group_by(Posting.entry_id, Posting.currency)
        .having(sa.func.sum(Posting.amount_minor) != 0)
        .limit(_SHOWN)
    )
    return [f"entry {entry} is off by {total} {code}" for entry, code, total in rows]


def _orphans(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[str]:
    rows = connection.execute(
        sa.select(Posting.id)
        .outerjoin(Entry, Entry.id == Posting.entry_id)
        .where(which, Entry.id.is_(None))
        .limit(_SHOWN)
    )
    return [f"posting {posting} belongs to no entry" for (posting,) in rows]


def _empty(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[str]:
    rows = connection.execute(
        sa.select(Entry.id)
        .where(which, ~sa.exists().where(Posting.entry_id == Entry.id))
        .limit(_SHOWN)
    )
    return [f"entry {entry} has no postings" for (entry,) in rows]
