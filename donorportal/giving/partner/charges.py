"""The charges to come: when they fall, and which of them a pause leaves out.

The next one and the one after come from the payment service; those after that follow its own
rule, because it previews no further.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.monthly import Upcoming

SHOWN = 3
LONGEST_PAUSE = 12
LAST_DAY = 28
"""The last day of the month that can be chosen: every month has it."""

# Long after the month's charge was left out, long before the next one.
_AFTER_THE_LAST = timedelta(days=1)
_NOON = 12


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge to come, or one that a pause leaves out."""

    starts_at: datetime
    """When its month begins at the payment service."""
    at: datetime
    """When it is tried."""
    amount: Money
    is_left_out: bool

    def on(self, time_zone: str) -> date:
        """Return its date where the organisation is."""
        return clock.local_date(self.at, time_zone)


@dataclass(frozen=True, slots=True)
class PauseEnd:
    """One possible end of a pause."""

    months: int
    """How many charges are left out."""
    resumes_at: datetime
    next_charge: Charge
    """The first one after the pause."""


def month_after(start: datetime, anchor: datetime) -> datetime:
    """Return when the month after the one that begins at *start* begins.

    That is on the day of the *anchor*, or on the last day of a month that has no such day, at the
    time of the anchor; all of it in UTC.
    """
    year, month = divmod(start.year * 12 + start.month, 12)
    day = min(anchor.day, monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def coming(upcoming: Upcoming | None, count: int = SHOWN) -> list[Charge]:
    """Return the charges until *count* of them are not left out; none when nothing is charged."""
    if upcoming is None or (upcoming.is_paused and upcoming.resumes_at is None):
        return []
    found: list[Charge] = []
    for charge in _every(upcoming):
        found.append(charge)
        if sum(not one.is_left_out for one in found) == count:
            break
    return found


def charged(charges: list[Charge]) -> list[Charge]:
    """Return those that are not left out."""
    return [charge for charge in charges if not charge.is_left_out]


def paused(upcoming: Upcoming, resumes_at: datetime | None) -> Upcoming:
    """Return what is to come with another pause, or with none."""
    return replace(upcoming, is_paused=resumes_at is not None, resumes_at=resumes_at)


def pause_ends(upcoming: Upcoming) -> list[PauseEnd]:
    """Return where a pause that begins now can end, the shortest first."""
    charges = list(islice(_every(paused(upcoming, None)), LONGEST_PAUSE + 1))
    return [
        PauseEnd(months, charges[months - 1].starts_at + _AFTER_THE_LAST, charges[months])
        for months in range(1, LONGEST_PAUSE + 1)
    ]


def moved(next_on: date, day: int, today: date, time_zone: str) -> datetime:
    """Return when the next month begins if its charge moves from *next_on* to *day*.

    It stays in its calendar month, so that no month has two gifts, unless that day is over.
    """
    chosen = next_on.replace(day=day)
    if chosen <= today:
        year, month = divmod(next_on.year * 12 + next_on.month, 12)
        chosen = date(year, month + 1, day)
    return _middle_of(chosen, time_zone)


def _middle_of(day: date, time_zone: str) -> datetime:
    """Return the moment half-way between noon there and noon in UTC.

    It is on the same day of the month in both, in every zone, so that the months begin on this
    day at the payment service, which counts in UTC, and on the donor's calendar.
    """
    there = datetime(day.year, day.month, day.day, _NOON, tzinfo=ZoneInfo(time_zone))
    offset = there.utcoffset() or timedelta(0)
    return datetime(day.year, day.month, day.day, _NOON, tzinfo=UTC) - offset / 2


def _every(upcoming: Upcoming) -> Iterator[Charge]:
    start, following = upcoming.starts_at, upcoming.following_at
    resumes_at = upcoming.resumes_at
    while True:
        is_left_out = resumes_at is not None and start < resumes_at
        yield Charge(start, start + upcoming.delay, upcoming.amount, is_left_out)
        start, following = following, month_after(following, upcoming.anchor_at)
