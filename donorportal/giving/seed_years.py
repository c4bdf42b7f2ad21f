"""Six years of giving that never happened, told day by day."""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import TypeVar

from donorportal.giving.seed_people import person
from donorportal.giving.seed_rows import Rows, RowWriter
from donorportal.money import CURRENCIES, Money, covering_fee

_Choice = TypeVar("_Choice")

_YEARS = 6
_GROWTH = 3
"""How many times as much is given at the end as at the beginning."""
_SEASON = (8, 8, 9, 10, 9, 9, 8, 8, 9, 10, 14, 22)
"""How busy each month is; the last days of December are three times as busy again."""
_MONTHLY_SHARE = 0.4
_DAYS_IN_A_MONTH = 30.4
_MEAN_CHARGES = 36
"""How often a monthly gift is charged before it ends."""
_FEE_BASIS_POINTS = 290
_CURRENCIES = ("USD",) * 40 + ("GBP",) * 4 + ("EUR",) * 4 + ("DOP", "JPY")
_DESIGNATIONS = ("where-needed-most",) * 5 + ("rescue", "aftercare", "aftercare", "justice")
_CARDS = (("visa", "4242"), ("visa", "1881"), ("mastercard", "4444"), ("amex", "0005"))
_FAILURES = ("card_declined", "insufficient_funds", "expired_card", "authentication_required")
_UNPAID_FOR = timedelta(days=14)
_PAUSED_FOR = timedelta(days=90)


@dataclass(slots=True)
class _Monthly:
    """A monthly gift while it is charged."""

    id: int
    donor: int
    amount: Money
    fee_cover_minor: int
    designation: str
    card: tuple[str, str]
    charges_left: int


@dataclass(frozen=True, slots=True)
class _Day:
    """How far the story should have come by the end of one day."""

    date: date
    gifts: int
    donors: int
    monthly_gifts: int


class Years:
    """The gifts of so many donors until the day before *today*; the same seed tells the same."""

    def __init__(self, *, donors: int, gifts: int, seed: int, today: date) -> None:
        self._donors = donors
        self._gifts = gifts
        self._today = today
        self._random = Random(seed)  # noqa: S311 - fiction must be repeatable, not secret
        self._running: list[list[_Monthly]] = [[] for _ in range(32)]
        self._active = 0
        self._gives_monthly = bytearray(donors + 1)
        self.rows = RowWriter(self._random)

    def chunks(self, size: int) -> Iterator[Rows]:
        """Tell the story in pieces of about *size* gifts."""
        for day in self._days():
            self._charge_those_due(day.date)
            while self.rows.gifts < day.gifts:
                self._give(day)
                if self.rows.waiting() >= size:
                    yield self.rows.take()
        while self.rows.donors < self._donors:
            self._meet(self._today - timedelta(days=1))
            if self.rows.waiting() >= size:
                yield self.rows.take()
        yield self.rows.take()

    def _days(self) -> Iterator[_Day]:
        first = date(self._today.year - _YEARS, self._today.month, 1)
        count = (self._today - first).days
        days = [first + timedelta(days=n) for n in range(count)]
        trend = [count + (_GROWTH - 1) * n for n in range(count)]
        weights = [slope * _busyness(day) for slope, day in zip(trend, days, strict=True)]
        so_far, total = 0, sum(weights)
        gifts_a_day = self._gifts / sum(trend)
        for day, slope, weight in zip(days, trend, weights, strict=True):
            so_far += weight
            yield _Day(
                date=day,
                gifts=self._gifts * so_far // total,
                donors=self._donors * so_far // total,
                monthly_gifts=int(_MONTHLY_SHARE * _DAYS_IN_A_MONTH * gifts_a_day * slope),
            )

    def _charge_those_due(self, day: date) -> None:
        """Charge everybody whose day it is; on the last of the month also the days it lacks."""
        is_last = day.day == monthrange(day.year, day.month)[1]
        for due in range(day.day, 32 if is_last else day.day + 1):
            for monthly in self._running[due]:
                if self.rows.gifts < self._gifts:
                    self._charge(monthly, day)
            still = [monthly for monthly in self._running[due] if monthly.charges_left]
            self._active -= len(self._running[due]) - len(still)
            self._running[due] = still

    def _give(self, day: _Day) -> None:
        """Let one donor, new or known, give once or begin to give every month."""
        is_new = self.rows.donors < max(day.donors, 1)
        donor = self._meet(day.date) if is_new else self._somebody_known()
        begins = self._active < day.monthly_gifts and self._one_in(4)
        if begins and not self._gives_monthly[donor]:
            self._begin_monthly(donor, day.date)
        else:
            self._give_once(donor, day.date, is_new=is_new)

    def _meet(self, day: date) -> int:
        return self.rows.donor(person(self.rows.donors), day)

    def _somebody_known(self) -> int:
        """Choose a donor; those who have given for long give most."""
        return 1 + int(self.rows.donors * self._random.random() ** 2)

    def _begin_monthly(self, donor: int, day: date) -> None:
        charges = 1 + int(self._random.expovariate(1 / _MEAN_CHARGES))
        amount, fee_cover_minor = self._amount(donor, monthly=True)
        designation, card = self._choice(_DESIGNATIONS), self._choice(_CARDS)
        status, changed_on, next_on = self._fate(day, charges)
        number = self.rows.monthly(
            donor,
            person(donor - 1),
            amount,
            fee_cover_minor=fee_cover_minor,
            designation=designation,
            card=card,
            begun_on=day,
            status=status,
            changed_on=changed_on,
            next_on=next_on,
        )
        monthly = _Monthly(number, donor, amount, fee_cover_minor, designation, card, charges)
        self._gives_monthly[donor] = True
        self._active += 1
        self._running[day.day].append(monthly)
        self._charge(monthly, day)

    def _fate(self, begun_on: date, charges: int) -> tuple[str, date | None, date | None]:
        """Return the status as of today, since when, and the date of the next charge."""
        missed_on = _months_later(begun_on, charges)
        if missed_on >= self._today:
            months = 12 * (self._today.year - begun_on.year) + self._today.month - begun_on.month
            this_month = _months_later(begun_on, months)
            if this_month >= self._today:
                return "active", None, this_month
            return "active", None, _months_later(begun_on, months + 1)
        if missed_on > self._today - _UNPAID_FOR:
            return "past_due", missed_on, self._today + timedelta(days=3)
        if missed_on > self._today - _PAUSED_FOR and charges % 2:
            return "paused", missed_on - timedelta(days=5), None
        return "ended", missed_on - timedelta(days=5), None

    def _charge(self, monthly: _Monthly, day: date) -> None:
        monthly.charges_left -= 1
        self.rows.gift(
            monthly.donor,
            person(monthly.donor - 1),
            monthly.amount,
            fee_cover_minor=monthly.fee_cover_minor,
            designation=monthly.designation,
            card=monthly.card,
            day=day,
            status="received",
            monthly=monthly.id,
        )

    def _give_once(self, donor: int, day: date, *, is_new: bool) -> None:
        status = "received" if is_new else self._outcome(day)
        amount, fee_cover_minor = self._amount(donor, monthly=False)
        designation = self._choice(_DESIGNATIONS)
        refunded = self._refunded(amount) if status == "received" else None
        gift = self.rows.gift(
            donor if status in {"received", "pledged"} else None,
            person(donor - 1),
            amount,
            fee_cover_minor=fee_cover_minor,
            designation=designation,
            card=self._choice(_CARDS),
            day=day,
            status=status,
            tribute=self._tribute(),
            refunded_minor=refunded.minor if refunded else 0,
            failure=self._choice(_FAILURES) if status == "failed" else None,
        )
        if refunded:
            later = day + timedelta(days=self._choice(range(1, 21)))
            last_day = self._today - timedelta(days=1)
            self.rows.refund(
                gift, refunded, designation, min(later, last_day), whole=refunded == amount
            )

    def _outcome(self, day: date) -> str:
        if self._one_in(40):
            return "failed"
        if self._one_in(25):
            return "abandoned"
        if day > self._today - timedelta(days=4) and self._one_in(8):
            return "pledged"
        return "received"

    def _amount(self, donor: int, *, monthly: bool) -> tuple[Money, int]:
        """Return an amount in the donor's currency, and how much of it covers the fee."""
        kind = CURRENCIES[_CURRENCIES[donor * 7919 % len(_CURRENCIES)]]
        suggested = kind.suggested_monthly if monthly else kind.suggested
        if self._one_in(5):
            least = suggested[0] // 2
            minor = least + self._choice(range(40)) * suggested[0] // 10
            minor -= minor % kind.step
        else:
            minor = suggested[int(len(suggested) * self._random.random() ** 2)]
        gift = Money(minor, kind.code)
        if not self._one_in(3):
            return gift, 0
        total = covering_fee(gift, _FEE_BASIS_POINTS)
        return total, total.minor - minor

    def _refunded(self, amount: Money) -> Money | None:
        if not self._one_in(120):
            return None
        return amount if self._one_in(2) else Money(-(-amount.minor // 2), amount.currency)

    def _tribute(self) -> tuple[str | None, str | None]:
        if not self._one_in(30):
            return None, None
        somebody = person(self._choice(range(1000)))
        return self._choice(("honour", "memory")), somebody.name

    def _one_in(self, count: int) -> bool:
        return self._random.random() * count < 1

    def _choice(self, options: Sequence[_Choice]) -> _Choice:
        return options[int(self._random.random() * len(options))]


def _busyness(day: date) -> int:
    year_ends = day.month == 12 and day.day > 25  # noqa: PLR2004 - the days after Christmas
    return _SEASON[day.month - 1] * (3 if year_ends else 1)


def _months_later(day: date, months: int) -> date:
    """Return the same day of a later month, or the last one where that month is shorter."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
