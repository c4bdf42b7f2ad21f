"""Sums of the accounts that cost the same with ten postings and with ten million.

For each account, currency and month of business dates a row holds the total of all entries up to a
mark; a job rolls the mark forward, behind the postings, so that posting itself updates no row that
others wait for. A balance is the rows plus the few postings after the mark.

The mark may only pass an entry when no smaller number can appear any more. On SQLite there is one
writer at a time, so every number that was given out is there or never will be. On PostgreSQL a
transaction takes its number when it posts and shows it when it commits. An entry that was posted
before the oldest open transaction began has a smaller number than any of those still open will
show, because numbers are given out in order; a margin allows for clocks that disagree. We see the
transactions of our own database role; whoever posts under another one has the margin to commit in.
The check of the books compares the sums with the postings, so that a mistake here would be found.
"""

from datetime import date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import upsert
from donorportal.ledger.models import AccountSum, Entry, LedgerMark, Posting

MARGIN = timedelta(minutes=1)
"""By how much clocks may disagree, and how long a transaction we cannot see may stay open."""
SUMS = "sums"
CHECKED = "checked"

Totals = dict[tuple[str, str], int]
"""Minor units by account and currency, debit positive."""

_AT_ONCE = 20_000


def totals(connection: sa.Connection, *, before: date | None = None) -> Totals:
    """Return what each account holds: of all entries, or of those with a date *before* one.

    The sums and their mark come in one statement. Entries that are rolled in between are then read
    as postings after the mark that we know, so that nothing is counted twice.
    """
    mark, found = _rolled(connection, before)
    parts = [_posted(Posting.entry_id > mark, before=before)]
    if before is not None:
        first = before.replace(day=1)
        of_month = sa.and_(Posting.entry_id <= mark, Entry.effective_on >= first)
        parts.append(_posted(of_month, before=before))
    for part in parts:
        for account, code, total in connection.execute(part):
            found[account, code] = found.get((account, code), 0) + int(total)
    return found


def roll(session: Session, *, margin: timedelta = MARGIN, at_most: int = _AT_ONCE) -> bool:
    """Take the next entries into the sums; True if there are more to take."""
    mark = _lock(session, SUMS)
    latest = settled_through(session.connection(), margin=margin)
    through = min(latest, mark + at_most)
    if through <= mark:
        return False
    fresh = (
        sa.select(Posting.account, Posting.currency, _month(), sa.func.sum(Posting.amount_minor))
        .join(Entry, Entry.id == Posting.entry_id)
        .where(Posting.entry_id > mark, Posting.entry_id <= through)
        # Said of both tables, so that of neither more than these is read.
        .where(Entry.id > mark, Entry.id <= through)
        .group_by(Posting.account, Posting.currency, _month())
    )
    adding = upsert(session, AccountSum).from_select(
        ["account", "currency", "month", "total_minor"], fresh
    )
    session.execute(
        adding.on_conflict_do_update(
            index_elements=["account", "currency", "month"],
            set_={"total_minor": AccountSum.total_minor + adding.excluded.total_minor},
        )
    )
    advance(session, SUMS, through)
    return through < latest


def settled_through(connection: sa.Connection, *, margin: timedelta = MARGIN) -> int:
    """Return the highest entry below which no entry can appear any more; 0 if there is none."""
    entries = sa.select(Entry.id).order_by(Entry.id.desc()).limit(1)
    if connection.dialect.name == "postgresql":
        entries = entries.where(Entry.posted_at < _quiet_since(connection) - margin)
    return int(connection.scalar(entries) or 0)


def read_mark(connection: sa.Connection, name: str) -> int:
    """Return the last entry up to which *name* was done; 0 if it never was."""
    found = connection.scalar(sa.select(LedgerMark.entry_id).where(LedgerMark.name == name))
    return int(found or 0)


def advance(session: Session, name: str, through: int) -> None:
    """Note that *name* was done up to an entry; a mark never goes back."""
    mark = upsert(session, LedgerMark).values(name=name, entry_id=through)
    session.execute(
        mark.on_conflict_do_update(
            index_elements=["name"],
            set_={"entry_id": mark.excluded.entry_id},
            where=LedgerMark.entry_id < mark.excluded.entry_id,
        )
    )


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each sum that is not what its postings add up to."""
    mark = read_mark(connection, SUMS)
    posted = (
        sa.select(
            Posting.account,
            Posting.currency,
            _month().label("month"),
            (-Posting.amount_minor).label("minor"),
        )
        .join(Entry, Entry.id == Posting.entry_id)
        .where(Posting.entry_id <= mark)
    )
    both = sa.union_all(
        sa.select(
            AccountSum.account,
            AccountSum.currency,
            AccountSum.month,
            AccountSum.total_minor.label("minor"),
        ),
        posted,
    ).subquery()
    keys = (both.c.account, both.c.currency, both.c.month)
    off = sa.func.sum(both.c.minor)
    rows = connection.execute(sa.select(*keys, off).group_by(*keys).having(off != 0).limit(20))
    return [
        f"the sum of {account} in {month // 12}-{month % 12 + 1:02d} is off by {total} {code}"
        for account, code, month, total in rows
    ]


def _rolled(connection: sa.Connection, before: date | None) -> tuple[int, Totals]:
    mark = sa.select(LedgerMark.entry_id).where(LedgerMark.name == SUMS).scalar_subquery()
    account, code = AccountSum.account, AccountSum.currency
    wanted = sa.func.sum(AccountSum.total_minor)
    if before is not None:
        month = before.year * 12 + before.month - 1
        early = sa.case((AccountSum.month < month, AccountSum.total_minor), else_=0)
        wanted = sa.func.sum(early)
    rows = connection.execute(sa.select(account, code, wanted, mark).group_by(account, code)).all()
    through = int(rows[0][3]) if rows else 0
    return through, {(name, currency): int(total) for name, currency, total, _ in rows}


def _posted(which: sa.ColumnElement[bool], *, before: date | None) -> sa.Select[str, str, int]:
    # With something added to it, the account is no column of an index any more: SQLite would
    # otherwise walk through all postings in the order of the groups, instead of a few by number.
    account, code = Posting.account.concat(""), Posting.currency
    statement = sa.select(account, code, sa.func.sum(Posting.amount_minor)).where(which)
    if before is not None:
        statement = statement.join(Entry, Entry.id == Posting.entry_id)
        statement = statement.where(Entry.effective_on < before)
    return statement.group_by(sa.literal_column("1"), code)


def _month() -> sa.ColumnElement[int]:
    year, month = sa.extract("year", Entry.effective_on), sa.extract("month", Entry.effective_on)
    # Written out: a parameter each would make two expressions of the same one when grouping.
    twelve, one = sa.literal_column("12", sa.Integer), sa.literal_column("1", sa.Integer)
    return sa.cast(year * twelve + month - one, sa.Integer)


def _lock(session: Session, name: str) -> int:
    """Return the mark of *name*; nobody else moves it until this transaction ends."""
    session.execute(
        upsert(session, LedgerMark)
        .values(name=name, entry_id=0)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    locked = sa.select(LedgerMark.entry_id).where(LedgerMark.name == name).with_for_update()
    return int(session.scalar(locked) or 0)


def _quiet_since(connection: sa.Connection) -> datetime:
    """Return the moment since which every open transaction of others has begun."""
    now = clock.now()
    oldest: datetime | None = connection.scalar(
        sa.text(
            "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    )
    return min(now, oldest) if oldest else now
