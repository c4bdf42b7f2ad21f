"""Payouts and their lines as staff look at them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.models import Receipt
from donorportal.giving.payouts.models import Payout, PayoutLine
from donorportal.money import Money

PAGE_LENGTH = 50
MOST_COUNTED = 1000
_FETCHED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of payouts ends and the next one begins."""

    arrives_on: date
    payout_id: int

    def __str__(self) -> str:
        return f"{self.arrives_on.isoformat()}.{self.payout_id}"

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """Read a place from the address of a page; None for anything else."""
        day, _, number = text.partition(".")
        if not (number.isascii() and number.isdigit()) or len(number) > len("9" * 18):
            return None
        try:
            return cls(date.fromisoformat(day), int(number))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Part:
    """What the lines of one kind come to."""

    kind: str
    category: str
    count: int
    gross: Money
    fee: Money
    net: Money


def payouts(session: Session, *, before: Place | None = None) -> tuple[Sequence[Payout], bool]:
    """Return a page of payouts, the latest first, and whether older ones follow."""
    query = sa.select(Payout).order_by(Payout.arrives_on.desc(), Payout.id.desc())
    if before is not None:
        place = sa.tuple_(Payout.arrives_on, Payout.id)
        query = query.where(place < (before.arrives_on, before.payout_id))
    found = session.scalars(query.limit(PAGE_LENGTH + 1)).all()
    return found[:PAGE_LENGTH], len(found) > PAGE_LENGTH


def parts(session: Session, payout: Payout) -> list[Part]:
    """Return what a payout is made of, kind by kind, the largest first."""
    columns = (PayoutLine.gross_minor, PayoutLine.fee_minor, PayoutLine.net_minor)
    rows = session.execute(
        sa.select(PayoutLine.kind, PayoutLine.category, sa.func.count(), *map(sa.func.sum, columns))
        .where(PayoutLine.payout_id == payout.id)
        .group_by(PayoutLine.kind, PayoutLine.category)
    )
    found = [
        Part(kind, category, count, *(Money(int(minor), payout.currency) for minor in minors))
        for kind, category, count, *minors in rows
    ]
    return sorted(found, key=lambda part: -abs(part.net.minor))


def lines(
    session: Session, payout: Payout, *, after: int = 0, odd: bool = False
) -> tuple[Sequence[sa.Row[Any]], bool]:
    """Return a page of a payout's lines as read, and whether more follow; *odd* ones only."""
    query = _lines(payout.id).where(PayoutLine.id > after).limit(PAGE_LENGTH + 1)
    if odd:
        query = query.where(PayoutLine.concern.is_not(None))
    found = session.execute(query).all()
    return found[:PAGE_LENGTH], len(found) > PAGE_LENGTH


def every_line(connection: sa.Connection, payout_id: int) -> Iterator[sa.Row[Any]]:
    """Return all lines of a payout; memory does not grow with their number."""
    yield from connection.execution_options(yield_per=_FETCHED_AT_ONCE).execute(_lines(payout_id))


def needing_a_look(session: Session) -> int:
    """Return how many payouts do not agree with our books, counting up to MOST_COUNTED + 1."""
    odd = sa.select(Payout.id).where(Payout.concern.is_not(None)).limit(MOST_COUNTED + 1)
    return session.execute(sa.select(sa.func.count()).select_from(odd.subquery())).scalar_one()


def _lines(payout_id: int) -> sa.Select[Any]:
    return (
        sa.select(*PayoutLine.__table__.c, Receipt.number.label("receipt"))
        .outerjoin(Receipt, Receipt.gift_id == PayoutLine.gift_id)
        .where(PayoutLine.payout_id == payout_id)
        .order_by(PayoutLine.id)
    )
