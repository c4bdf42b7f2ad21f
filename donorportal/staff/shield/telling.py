"""The shield's state in words and tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from babel.dates import format_datetime
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Organisation
from donorportal.giving.shield import alarm, holds, tallies
from donorportal.giving.shield.models import Decline
from donorportal.giving.shield.tallies import What

_SHOWN_HOURS = 48
_DAY = timedelta(days=1)
_WHY = {
    "attempts": "Too many gifts were started in a minute.",
    "declines": "Most of the last payments were declined.",
    "staff": "A colleague switched it on.",
}
_COLUMNS = {
    "hour": "Hour",
    "tried": "Forms sent",
    "paying": "Went on to pay",
    "limited": "Refused: too many",
    "blocked": "Refused: blocked",
    "asked": "Asked for work",
    "passed": "Did it",
    "mailed": "Codes mailed",
    "robot": "Filled in by robots",
    "declined": "Cards declined",
}
_LIMITED = (What.ADDRESS, What.NETWORK, What.EMAIL, What.BROWSER, What.SITE)


@dataclass(frozen=True, slots=True)
class State:
    """How the shield stands.

    Attributes:
        title: In a few words.
        text: Since when, until when, and why.
        tone: Of the notice that says so.

    """

    title: str
    text: str
    tone: str


def banner(session: Session, organisation: Organisation) -> str | None:
    """Return the one line that all staff see while the form asks for proof of work."""
    standing = holds.standing(session, [holds.SITE, holds.OFF])
    if not alarm.is_on(standing):
        return None
    site = standing[holds.SITE]
    refused = max(0, tallies.refused_since(session, site.since) - site.refused_before)
    return (
        f"Card testing: {refused:,} attempts refused since {_clock(site.since, organisation)},"
        f" the form asks for proof of work until {_clock(site.until, organisation)}."
    )


def state(session: Session, organisation: Organisation) -> State:
    """Return how the shield stands."""
    standing = holds.standing(session, [holds.SITE, holds.OFF])
    if holds.OFF in standing:
        until = _clock(standing[holds.OFF].until, organisation)
        text = f"A colleague switched proof of work off until {until}. The limits still hold."
        return State("Switched off", text, "warning")
    if not alarm.is_on(standing):
        text = "Visitors go straight on to pay. Limits and blocks are counted all the same."
        return State("All is calm", text, "success")
    site = standing[holds.SITE]
    text = f"{_WHY[site.why]} It ends by itself at {_clock(site.until, organisation)}, or later"
    return State("The form asks for proof of work", f"{text} if the attack goes on.", "danger")


def hours(session: Session, organisation: Organisation) -> list[dict[str, Any]]:
    """Return what was counted in each of the last hours in which anything was."""
    since = clock.now() - timedelta(hours=_SHOWN_HOURS)
    return [
        {"hour": _clock(hour, organisation), **dict(_figures(counts))}
        for hour, counts in tallies.by_hour(session, since).items()
    ]


def columns() -> list[dict[str, Any]]:
    """Return the columns of that table."""
    return [
        {"key": key, "label": label, "numeric": key != "hour"} for key, label in _COLUMNS.items()
    ]


def reasons(session: Session) -> list[dict[str, Any]]:
    """Return what the banks said in the last day, the most frequent first."""
    count = sa.func.count()
    rows = session.execute(
        sa.select(Decline.reason, count)
        .where(Decline.at > clock.now() - _DAY)
        .group_by(Decline.reason)
        .order_by(count.desc(), Decline.reason)
        .limit(20)
    )
    return [{"reason": reason, "count": f"{number:,}"} for reason, number in rows]


def _figures(counts: dict[What, int]) -> Iterator[tuple[str, str]]:
    limited = sum(counts.get(what, 0) for what in _LIMITED)
    passed = tallies.passed_on(counts)
    stopped = limited + counts.get(What.BLOCKED, 0) + counts.get(What.ASKED, 0)
    figures = {
        "tried": counts.get(What.TRIED, 0),
        "paying": max(0, counts.get(What.TRIED, 0) - stopped + passed),
        "limited": limited,
        "passed": passed,
    }
    for key in list(_COLUMNS)[1:]:
        value = figures[key] if key in figures else counts.get(What(key), 0)
        yield key, f"{value:,}"


def _clock(instant: datetime, organisation: Organisation) -> str:
    """Return the time of day, with the date when it is not today's."""
    zone = organisation.time_zone
    today = clock.local_date(instant, zone) == clock.local_date(clock.now(), zone)
    pattern = "HH:mm" if today else "d MMM, HH:mm"
    return format_datetime(instant, pattern, tzinfo=ZoneInfo(zone), locale=organisation.locale)
