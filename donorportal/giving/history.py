"""What one donor has given, read for the donor's own eyes.

Every function asks for the donor first: there is no way to read a gift by its number alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.models import (
    Designation,
    Gift,
    GiftStatus,
    Receipt,
    RecurringGift,
    RecurringStatus,
)
from donorportal.money import Money


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one gift in the history, from which a page continues."""

    given_on: date
    gift_id: int

    def __str__(self) -> str:
        return f"{self.given_on.isoformat()}.{self.gift_id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor as `str` wrote it. Raises ValueError for anything else."""
        match = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,18})", text)
        if match is None:
            raise ValueError("not a place in the history")
        return cls(date.fromisoformat(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class PastGift:
    """One gift whose money has arrived.

    Attributes:
        refunded_minor: How much of the amount went back, in minor units.
        receipt_number: None until the receipt is issued.

    """

    id: int
    given_on: date
    amount_minor: int
    currency: str
    refunded_minor: int
    is_monthly: bool
    designation_name: str
    receipt_number: str | None

    @property
    def amount(self) -> Money:
        """What was given, before any refund."""
        return Money(self.amount_minor, self.currency)

    @property
    def refunded(self) -> Money:
        """What went back to the donor."""
        return Money(self.refunded_minor, self.currency)


@dataclass(frozen=True, slots=True)
class ComingGift:
    """One gift that the bank has promised and not yet sent; it has no date of its own yet."""

    id: int
    asked_at: datetime
    amount: Money
    is_monthly: bool
    designation_name: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some gifts, newest first; `older` and `newer` are set where there is more to see."""

    gifts: list[PastGift]
    newer: Cursor | None
    older: Cursor | None


@dataclass(frozen=True, slots=True)
class YearTotal:
    """What one donor gave in one calendar year and currency, less what was refunded."""

    year: int
    currency: str
    amount_minor: int
    count: int

    @property
    def amount(self) -> Money:
        """The total as money."""
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class MonthlyGift:
    """A standing monthly gift that has begun and not ended."""

    id: int
    amount: Money
    status: RecurringStatus
    next_on: date | None
    card_last4: str | None
    designation_name: str


_PAST_COLUMNS = (
    Gift.id,
    Gift.given_on,
    Gift.amount_minor,
    Gift.currency,
    Gift.refunded_minor,
    Gift.recurring_gift_id.is_not(None),
    Designation.name,
    Receipt.number,
)
_PIECE = 500
_STANDING = (
    RecurringStatus.ACTIVE,
    RecurringStatus.PAST_DUE,
    RecurringStatus.PAUSED,
    RecurringStatus.UNKNOWN,
)


def gifts_of(
    session: Session,
    donor_id: int,
    *,
    year: int | None = None,
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = 50,
) -> Page:
    """Return at most *limit* received gifts of one donor, newest first.

    *after* continues with older gifts than that place, *before* goes back to newer ones; with
    both, *after* counts. Each page costs the same, however long the history is.
    """
    backwards = before is not None and after is None
    place = after or before
    query = _received(donor_id, year)
    key = sa.tuple_(Gift.given_on, Gift.id)
    if place is not None:
        edge = sa.tuple_(sa.literal(place.given_on), sa.literal(place.gift_id))
        query = query.where(key > edge if backwards else key < edge)
    order = (Gift.given_on, Gift.id) if backwards else (Gift.given_on.desc(), Gift.id.desc())
    rows = session.execute(query.order_by(*order).limit(limit + 1)).all()
    gifts = [PastGift(*row) for row in rows[:limit]]
    if backwards:
        gifts.reverse()
    is_more = len(rows) > limit
    return _page(
        gifts, newer=is_more if backwards else place is not None, older=is_more or backwards
    )


def coming_gifts_of(session: Session, donor_id: int) -> list[ComingGift]:
    """Return the gifts that are authorised and on their way, newest first."""
    query = (
        sa.select(
            Gift.id,
            Gift.created_at,
            Gift.amount_minor,
            Gift.currency,
            Gift.recurring_gift_id.is_not(None),
            Designation.name,
        )
        .join(Designation, Designation.code == Gift.designation_code)
        # A gift has a date once its money arrived, so the index leads straight to these few.
        .where(
            Gift.donor_id == donor_id,
            Gift.given_on.is_(None),
            Gift.status == GiftStatus.PLEDGED,
        )
        .order_by(Gift.id.desc())
    )
    return [
        ComingGift(gift_id, asked_at, Money(minor, currency), is_monthly, designation)
        for gift_id, asked_at, minor, currency, is_monthly, designation in session.execute(query)
    ]


def totals_by_year(session: Session, donor_id: int) -> list[YearTotal]:
    """Return totals net of refunds, the newest year first, the larger number of gifts first."""
    year = sa.extract("year", Gift.given_on)
    count = sa.func.count()
    query = (
        sa.select(
            sa.cast(year, sa.Integer),
            Gift.currency,
            sa.cast(sa.func.sum(Gift.amount_minor - Gift.refunded_minor), sa.BigInteger),
            count,
        )
        .where(Gift.donor_id == donor_id, Gift.status == GiftStatus.RECEIVED)
        .group_by(year, Gift.currency)
        .order_by(year.desc(), count.desc(), Gift.currency)
    )
    return [YearTotal(*row) for row in session.execute(query)]


def recurring_of(session: Session, donor_id: int) -> list[MonthlyGift]:
    """Return the monthly gifts that stand: active, unpaid, paused or in a state we do not know."""
    query = (
        sa.select(
            RecurringGift.id,
            RecurringGift.amount_minor,
            RecurringGift.currency,
            RecurringGift.status,
            RecurringGift.next_on,
            RecurringGift.card_last4,
            Designation.name,
        )
        .join(Designation, Designation.code == RecurringGift.designation_code)
        .where(RecurringGift.donor_id == donor_id, RecurringGift.status.in_(_STANDING))
        .order_by(RecurringGift.id.desc())
    )
    return [
        MonthlyGift(
            gift_id, Money(minor, currency), RecurringStatus(status), next_on, last4, designation
        )
        for gift_id, minor, currency, status, next_on, last4, designation in session.execute(query)
    ]


def every_gift(
    reading: Callable[[], AbstractContextManager[Session]],
    donor_id: int,
    *,
    year: int | None = None,
) -> Iterator[PastGift]:
    """Read all received gifts, newest first, a few hundred at a time.

    Each piece is read in a session of its own from *reading*: however slowly the gifts are taken,
    no transaction waits for it.
    """
    place: Cursor | None = None
    while True:
        with reading() as session:
            page = gifts_of(session, donor_id, year=year, after=place, limit=_PIECE)
        yield from page.gifts
        place = page.older
        if place is None:
            return


def _received(donor_id: int, year: int | None) -> sa.Select[*tuple[Any, ...]]:
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(*_PAST_COLUMNS)
        .join(Designation, Designation.code == Gift.designation_code)
        .outerjoin(Receipt, Receipt.gift_id == Gift.id)
        .where(Gift.donor_id == donor_id, Gift.status == GiftStatus.RECEIVED)
    )
    if year is not None:
        query = query.where(Gift.given_on >= date(year, 1, 1))
        if year < MAXYEAR:
            query = query.where(Gift.given_on < date(year + 1, 1, 1))
    return query


def _page(gifts: Sequence[PastGift], *, newer: bool, older: bool) -> Page:
    places = [Cursor(gift.given_on, gift.id) for gift in gifts]
    return Page(
        gifts=list(gifts),
        newer=places[0] if places and newer else None,
        older=places[-1] if places and older else None,
    )
