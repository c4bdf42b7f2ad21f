"""The journal of a period, for an accountant to read or to import; docs/journal.md explains it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from donorportal.ledger import sums
from donorportal.ledger.models import Entry, Posting
from donorportal.ledger.sums import Totals
from donorportal.money import Money
from donorportal.spreadsheet import plain_cell

COLUMNS = (
    "row",
    "entry",
    "date",
    "account",
    "debit",
    "credit",
    "currency",
    "source",
    "gift",
    "receipt",
    "designation",
)
_FETCHED_AT_ONCE = 1000
# The gifts and their receipts live in a room above the ledger; we only know their columns.
_GIFT = sa.table("gift", sa.column("id", sa.BigInteger), sa.column("designation_code", sa.String))
_RECEIPT = sa.table("receipt", sa.column("gift_id", sa.BigInteger), sa.column("number", sa.String))


class PeriodRefused(ValueError):  # noqa: N818 - named for what happened
    """The first day comes after the last."""


@dataclass(frozen=True, slots=True)
class Period:
    """A span of business dates, both days included.

    Raises:
        PeriodRefused: The first day comes after the last.

    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise PeriodRefused("The first day must not come after the last.")


@dataclass(slots=True)
class _Turnover:
    """What went in and out in one currency, in minor units."""

    debit: int = 0
    credit: int = 0

    def add(self, minor: int) -> None:
        """Add one posting to its side."""
        if minor > 0:
            self.debit += minor
        else:
            self.credit -= minor


def rows(
    connection: sa.Connection, period: Period, *, account: str | None = None
) -> Iterator[Sequence[str]]:
    """Return the journal row by row: the columns, openings, postings, totals and closings.

    *connection* shows one moment from beginning to end (``db.snapshot``), so that the rows agree
    with each other while gifts arrive. Memory does not grow with the period.
    """
    opening = _of(account, sums.totals(connection, before=period.first))
    yield COLUMNS
    yield from _balances("opening", period.first, opening)
    closing = dict(opening)
    turnover: dict[str, _Turnover] = {}
    for row in _postings(connection, period, account):
        turnover.setdefault(row.currency, _Turnover()).add(row.amount_minor)
        key = (row.account, row.currency)
        closing[key] = closing.get(key, 0) + row.amount_minor
        yield _posting(row)
    for code, both in sorted(turnover.items()):
        yield _summary("total", period.last, "", Money(both.debit, code), Money(both.credit, code))
    yield from _balances("closing", period.last, closing)


def _of(account: str | None, totals: Totals) -> Totals:
    return totals if account is None else {k: v for k, v in totals.items() if k[0] == account}


def _postings(
    connection: sa.Connection, period: Period, account: str | None
) -> Iterator[sa.Row[Any]]:
    gift_id = Entry.detail["gift"].as_integer()
    statement = (
        sa.select(
            Entry.id,
            Entry.effective_on,
            Entry.source,
            gift_id.label("gift_id"),
            Posting.account,
            Posting.currency,
            Posting.amount_minor,
            _RECEIPT.c.number.label("receipt"),
            _GIFT.c.designation_code.label("designation"),
        )
        .join(Posting, Posting.entry_id == Entry.id)
        .outerjoin(_GIFT, _GIFT.c.id == gift_id)
        .outerjoin(_RECEIPT, _RECEIPT.c.gift_id == gift_id)
        .where(Entry.effective_on.between(period.first, period.last))
        .order_by(Entry.effective_on, Entry.id, Posting.id)
    )
    if account is not None:
        statement = statement.where(Posting.account == account)
    yield from connection.execution_options(yield_per=_FETCHED_AT_ONCE).execute(statement)


def _posting(row: sa.Row[Any]) -> Sequence[str]:
    amount = str(Money(abs(row.amount_minor), row.currency).decimal)
    return (
        "posting",
        str(row.id),
        row.effective_on.isoformat(),
        plain_cell(row.account),
        amount if row.amount_minor > 0 else "",
        amount if row.amount_minor < 0 else "",
        row.currency,
        plain_cell(row.source),
        "" if row.gift_id is None else str(row.gift_id),
        plain_cell(row.receipt or ""),
        plain_cell(row.designation or ""),
    )


def _balances(kind: str, day: date, totals: Totals) -> Iterator[Sequence[str]]:
    for (account, code), minor in sorted(totals.items()):
        yield _summary(kind, day, account, Money(max(minor, 0), code), Money(max(-minor, 0), code))


def _summary(kind: str, day: date, account: str, debit: Money, credit: Money) -> Sequence[str]:
    sides = (str(debit.decimal), str(credit.decimal))
    return (kind, "", day.isoformat(), plain_cell(account), *sides, debit.currency, *[""] * 4)
