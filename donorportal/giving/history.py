"""What one donor has given, read for the donor's own eyes.

Every function asks for the donor first: there is no way to read a gift by its number alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import read_directly
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


class PastGift(NamedTuple):
    """One gift whose money has arrived, in the order of the columns that are read.

    Attributes:
        refunded_minor: How much of the amount went back, in minor units.
        lost_minor: How much of it the donor's bank took back.
        disputed_minor: How much of it the bank has not decided about yet.
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
    lost_minor: int
    disputed_minor: int

    @property
    def amount(self) -> Money:
        """What was given, before any refund."""
        return Money(self.amount_minor, self.currency)

    @property
    def refunded(self) -> Money:
        """What went back to the donor."""
        return Money(self.refunded_minor, self.currency)

    @property
    def lost(self) -> Money:
        """What the donor's bank took back."""
        return Money(self.lost_minor, self.currency)

    @property
    def disputed(self) -> Money:
        """What the donor's bank has not decided about yet."""
        return Money(self.disputed_minor, self.currency)


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
    """What one donor gave in one calendar year and currency, less what went back."""

    year: int
    currency: str
    amount_minor: int
    count: int

    @property
    def amount(self) -> Money:
        """The total as money."""
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole history in a few lines.

    Attributes:
        totals: The newest year first, in each the currency with the most gifts first.
        has_coming: There are gifts on their way, which count in no total yet.

    """

    totals: list[YearTotal]
    has_coming: bool


@dataclass(frozen=True, slots=True)
class MonthlyGift:
    """A standing monthly gift that has begun and not ended."""

    id: int
    amount: Money
    status: RecurringStatus
    next_on: date | None
    card_last4: str | None
    designation_name: str


_Select = sa.Select[*tuple[Any, ...]]
_PIECE = 500
_STANDING = (
    RecurringStatus.ACTIVE,
    RecurringStatus.PAST_DUE,
    RecurringStatus.PAUSED,
    RecurringStatus.UNKNOWN,
)
# Statements on tables instead of classes, built once: building one for each request would take
# longer than the database does.
_gift, _recurring = sa.inspect(Gift).local_table, sa.inspect(RecurringGift).local_table
_designation, _receipt = sa.inspect(Designation).local_table, sa.inspect(Receipt).local_table
_of_donor = _gift.c.donor_id == sa.bindparam("donor")
_is_received = _gift.c.status == GiftStatus.RECEIVED.value
# A gift has a date once its money arrived, so the index leads straight to the few without.
_is_coming = sa.and_(_gift.c.given_on.is_(None), _gift.c.status == GiftStatus.PLEDGED.value)
_RECEIVED: _Select = (
    sa.select(
        _gift.c.id,
        _gift.c.given_on,
        _gift.c.amount_minor,
        _gift.c.currency,
        _gift.c.refunded_minor,
        _gift.c.recurring_gift_id.is_not(None),
        _designation.c.name,
        _receipt.c.number,
        _gift.c.lost_minor,
        _gift.c.disputed_minor,
    )
    .select_from(_gift)
    .join(_designation, _designation.c.code == _gift.c.designation_code)
    .outerjoin(_receipt, _receipt.c.gift_id == _gift.c.id)
    .where(_of_donor, _is_received)
    .limit(sa.bindparam("most"))
)
_NEWEST_FIRST = _RECEIVED.order_by(_gift.c.given_on.desc(), _gift.c.id.desc())
_OLDEST_FIRST = _RECEIVED.order_by(_gift.c.given_on, _gift.c.id)
_COMING = (
    sa.select(
        _gift.c.id,
        _gift.c.created_at,
        _gift.c.amount_minor,
        _gift.c.currency,
        _gift.c.recurring_gift_id.is_not(None),
        _designation.c.name,
    )
    .select_from(_gift)
    .join(_designation, _designation.c.code == _gift.c.designation_code)
    .where(_of_donor, _is_coming)
    .order_by(_gift.c.id.desc())
)
_year = sa.extract("year", _gift.c.given_on)
# Gifts on their way have no year; their line tells whether it is worth asking for them.
_TOTALS = (
    sa.select(
        sa.cast(_year, sa.Integer),
        _gift.c.currency,
        sa.cast(
            sa.func.sum(_gift.c.amount_minor - _gift.c.refunded_minor - _gift.c.lost_minor),
            sa.BigInteger,
        ),
        sa.func.count(),
    )
    .where(_of_donor, sa.or_(_is_received, _is_coming))
    .group_by(_year, _gift.c.currency)
    .order_by(_year.desc(), sa.func.count().desc(), _gift.c.currency)
)
_MONTHLY = (
    sa.select(
        _recurring.c.id,
        _recurring.c.amount_minor,
        _recurring.c.currency,
        _recurring.c.status,
        _recurring.c.next_on,
        _recurring.c.card_last4,
        _designation.c.name,
    )
    .select_from(_recurring)
    .join(_designation, _designation.c.code == _recurring.c.designation_code)
    .where(
        _recurring.c.donor_id == sa.bindparam("donor"),
        _recurring.c.status.in_([status.value for status in _STANDING]),
    )
    .order_by(_recurring.c.id.desc())
)


_READ_DIRECTLY = frozenset({_NEWEST_FIRST, _TOTALS})


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
    query = _within(_OLDEST_FIRST if backwards else _NEWEST_FIRST, year)
    if place is not None:
        key = sa.tuple_(_gift.c.given_on, _gift.c.id)
        edge = sa.tuple_(sa.literal(place.given_on), sa.literal(place.gift_id))
        query = query.where(key > edge if backwards else key < edge)
    rows = _rows(session, query, {"donor": donor_id, "most": limit + 1})
    gifts = [PastGift._make(row) for row in rows[:limit]]
    if backwards:
        gifts.reverse()
    is_more = len(rows) > limit
    return _page(
        gifts, newer=is_more if backwards else place is not None, older=is_more or backwards
    )


def coming_gifts_of(session: Session, donor_id: int) -> list[ComingGift]:
    """Return the gifts that are authorised and on their way, newest first."""
    rows = session.connection().execute(_COMING, {"donor": donor_id})
    return [
        ComingGift(gift_id, asked_at, Money(minor, currency), is_monthly, designation)
        for gift_id, asked_at, minor, currency, is_monthly, designation in rows
    ]


def summary_of(session: Session, donor_id: int) -> Summary:
    """Return the totals of each year, net of what went back, and whether more is on its way."""
    rows = _rows(session, _TOTALS, {"donor": donor_id})
    totals = [YearTotal(*row) for row in rows if row[0] is not None]
    return Summary(totals, has_coming=len(totals) < len(rows))


def recurring_of(session: Session, donor_id: int) -> list[MonthlyGift]:
    """Return the monthly gifts that stand: active, unpaid, paused or in a state we do not know."""
    rows = session.connection().execute(_MONTHLY, {"donor": donor_id})
    return [
        MonthlyGift(
            gift_id, Money(minor, currency), RecurringStatus(status), next_on, last4, designation
        )
        for gift_id, minor, currency, status, next_on, last4, designation in rows
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


def _within(query: _Select, year: int | None) -> _Select:
    if year is None:
        return query
    query = query.where(_gift.c.given_on >= date(year, 1, 1))
    return query.where(_gift.c.given_on < date(year + 1, 1, 1)) if year < MAXYEAR else query


def _rows(
    session: Session, statement: _Select, values: dict[str, int]
) -> Sequence[sa.Row[*tuple[Any, ...]] | tuple[Any, ...]]:
    """Read all rows of a statement.

    The pages that everybody opens first take theirs straight from PostgreSQL's driver.
    """
    connection = session.connection()
    if statement not in _READ_DIRECTLY or connection.dialect.name != "postgresql":
        return connection.execute(statement, values).all()
    return read_directly(connection, statement, values)


def _page(gifts: Sequence[PastGift], *, newer: bool, older: bool) -> Page:
    return Page(
        gifts=list(gifts),
        newer=_place(gifts[0]) if gifts and newer else None,
        older=_place(gifts[-1]) if gifts and older else None,
    )


def _place(gift: PastGift) -> Cursor:
    return Cursor(gift.given_on, gift.id)
