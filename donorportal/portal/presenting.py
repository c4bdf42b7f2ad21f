"""Gifts, totals and monthly gifts in the words and figures that a donor reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from babel.dates import format_date

from donorportal.clock import local_date
from donorportal.config import Organisation
from donorportal.giving.history import ComingGift, MonthlyGift, PastGift, YearTotal
from donorportal.giving.models import RecurringStatus
from donorportal.money import Money

RECEIVED = "Received"
ON_ITS_WAY = "On its way"

_STATUS_TEXTS = {
    RecurringStatus.ACTIVE: "Active",
    RecurringStatus.PAST_DUE: "Not paid",
    RecurringStatus.PAUSED: "Paused",
    RecurringStatus.UNKNOWN: "Being checked",
}
_CHARGED_AGAIN = {RecurringStatus.ACTIVE, RecurringStatus.PAST_DUE}


class GiftRow(NamedTuple):
    """One line of the history, in the order of its columns."""

    on_text: str
    designation_name: str
    kind: str
    status_text: str
    receipt_number: str | None
    amount_text: str


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """What was given this year in one currency."""

    currency: str
    amount_text: str
    count: int


@dataclass(frozen=True, slots=True)
class YearLink:
    """One year with its totals, a text for each currency, and the page that shows its gifts."""

    year: int
    totals: list[str]
    selected: bool
    url: str


@dataclass(frozen=True, slots=True)
class MonthlyCard:
    """One monthly gift; `next_on` is a date in words, or None when nothing will be charged."""

    id: int
    amount_text: str
    status_text: str
    next_on: str | None
    designation_name: str
    last4: str | None


def gift_rows(
    coming: Iterable[ComingGift], past: Iterable[PastGift], organisation: Organisation
) -> list[GiftRow]:
    """Present gifts on their way, then those received."""
    locale = organisation.locale
    return [
        GiftRow(
            on_text=_day(local_date(gift.asked_at, organisation.time_zone), locale),
            designation_name=gift.designation_name,
            kind=_kind(gift.is_monthly),
            status_text=ON_ITS_WAY,
            receipt_number=None,
            amount_text=gift.amount.exact(locale),
        )
        for gift in coming
    ] + [
        GiftRow(
            _day(gift.given_on, locale),
            gift.designation_name,
            _kind(gift.is_monthly),
            _status_text(gift, locale),
            gift.receipt_number,
            _exact(gift.amount_minor, gift.currency, locale),
        )
        for gift in past
    ]


def totals_of(totals: Iterable[YearTotal], year: int, locale: str) -> list[CurrencyTotal]:
    """Present the totals of one year."""
    return [
        CurrencyTotal(total.currency, total.amount.exact(locale), total.count)
        for total in totals
        if total.year == year
    ]


def bars_by_year(totals: Sequence[YearTotal], locale: str) -> list[dict[str, Any]]:
    """Present the years for the chart, oldest first.

    Only a donor who gave in one currency gets sizes (`amount_minor`): amounts in two currencies
    have no common length.
    """
    comparable = len({total.currency for total in totals}) == 1
    bars = []
    for year, of_year in groupby(reversed(totals), key=attrgetter("year")):
        group = list(of_year)
        bar: dict[str, Any] = {
            "year": year,
            "totals": [total.amount.text(locale) for total in reversed(group)],
        }
        if comparable:
            bar["amount_minor"] = group[0].amount_minor
        bars.append(bar)
    return bars


def year_links(
    totals: Iterable[YearTotal], selected: int | None, all_years_url: str, locale: str
) -> list[YearLink]:
    """Present the years as links, newest first."""
    return [
        YearLink(
            year=year,
            totals=[total.amount.text(locale) for total in of_year],
            selected=year == selected,
            url=f"{all_years_url}?year={year}",
        )
        for year, of_year in groupby(totals, key=attrgetter("year"))
    ]


def monthly_cards(monthly: Iterable[MonthlyGift], locale: str) -> list[MonthlyCard]:
    """Present the monthly gifts."""
    return [
        MonthlyCard(
            id=gift.id,
            amount_text=gift.amount.text(locale),
            status_text=_STATUS_TEXTS[gift.status],
            next_on=_next_charge(gift.next_on, gift.status, locale),
            designation_name=gift.designation_name,
            last4=gift.card_last4,
        )
        for gift in monthly
    ]


def _next_charge(day: date | None, status: RecurringStatus, locale: str) -> str | None:
    return _long_day(day, locale) if day is not None and status in _CHARGED_AGAIN else None


def _kind(is_monthly: bool) -> str:
    return "Monthly" if is_monthly else "Once"


def _status_text(gift: PastGift, locale: str) -> str:
    went_back = {
        "Refunded": gift.refunded,
        "Taken back by your bank:": gift.lost,
        "Disputed by your bank:": gift.disputed,
    }
    texts = [
        words.rstrip(":")
        if amount == gift.amount
        else f"{words} {amount.text(locale)} of {gift.amount.text(locale)}"
        for words, amount in went_back.items()
        if amount.minor
    ]
    return ", ".join(texts) or RECEIVED


# Formatting takes longer than reading the gift does, and days and amounts repeat.
@lru_cache(maxsize=8192)
def _day(day: date, locale: str) -> str:
    return format_date(day, "medium", locale=locale)


@lru_cache(maxsize=4096)
def _exact(amount_minor: int, code: str, locale: str) -> str:
    return Money(amount_minor, code).exact(locale)


def _long_day(day: date, locale: str) -> str:
    return format_date(day, "long", locale=locale)
