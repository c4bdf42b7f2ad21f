"""Writing entries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.ledger.halting import PostingHalted
from donorportal.ledger.models import Entry, LedgerHalt, Posting
from donorportal.money import Money

# Both questions in one round trip: whether the source is posted, and whether posting is halted.
_STANDING = sa.select(
    sa.exists().where(Entry.source == sa.bindparam("this_source")),
    sa.exists().where(LedgerHalt.standing.is_(True)),
)


class EntryRefused(Exception):  # noqa: N818 - named for what happened
    """An entry that does not balance; a mistake in the program, caught before the database."""


@dataclass(frozen=True, slots=True)
class Line:
    """One posting to be: debit positive, credit negative."""

    account: str
    amount: Money


def post(
    session: Session,
    *,
    source: str,
    effective_on: date,
    lines: Sequence[Line],
    detail: dict[str, Any] | None = None,
) -> bool:
    """Write one balanced entry and say whether it is new: one *source* is posted once, ever.

    The caller holds the lock of the gift that *source* belongs to, so two workers do not post the
    same source at the same time; if they did, the unique source would stop the second.

    Raises:
        EntryRefused: The lines do not sum to zero in each currency, or there are none.
        PostingHalted: The books were found to be wrong; it can be posted later.

    """
    _refuse_unbalanced(source, lines)
    known, halted = session.execute(_STANDING, {"this_source": source}).one()
    if known:
        return False
    if halted:
        raise PostingHalted(source)
    entry_id = _next_id(session)
    session.execute(
        sa.insert(Posting),
        [
            {
                "entry_id": entry_id,
                "account": line.account,
                "currency": line.amount.currency,
                "amount_minor": line.amount.minor,
            }
            for line in lines
        ],
    )
    session.execute(
        sa.insert(Entry).values(
            id=entry_id,
            source=source,
            effective_on=effective_on,
            posted_at=clock.now(),
            detail=detail or {},
        )
    )
    return True


def move(amount: Money, *, debit: str, credit: str) -> list[Line]:
    """Return the two lines that move *amount* from the *credit* to the *debit* account."""
    return [Line(debit, amount), Line(credit, -amount)]


def _refuse_unbalanced(source: str, lines: Sequence[Line]) -> None:
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.amount.currency] = sums.get(line.amount.currency, 0) + line.amount.minor
    if not sums or any(sums.values()):
        raise EntryRefused(f"{source} does not balance: {sums}")


def _next_id(session: Session) -> int:
    """Return the id of an entry to be; its postings are written first, so we must know it.

    SQLite has one writer at a time, so the highest id plus one belongs to us.
    """
    if session.get_bind().dialect.name == "sqlite":
        return int(session.scalar(sa.select(sa.func.coalesce(sa.func.max(Entry.id), 0) + 1)) or 1)
    return int(session.scalar(sa.select(sa.func.nextval("entry_id_seq"))) or 0)
