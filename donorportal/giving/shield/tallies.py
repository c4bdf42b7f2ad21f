"""How many attempts there were in each hour, and what became of them: counters, no rows each."""

from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.limits.counting import Limit, counted
from donorportal.limits.models import RateCount

HOUR = timedelta(hours=1)
_PREFIX = "shield:"
_UNLIMITED = 2**31


class What(StrEnum):
    """What is counted of visitors; donors who are signed in are not."""

    TRIED = "tried"
    """Forms that were filled in right and sent."""
    ASKED = "asked"
    """Stopped and asked for proof of work."""
    SOLVED = "solved"
    """Came back with it."""
    CODED = "coded"
    """Came back with a code from a mail instead."""
    MAILED = "mailed"
    """Codes that were mailed."""
    ROBOT = "robot"
    """Forms that no person filled in: too fast, forged, or with the trap filled."""
    BLOCKED = "blocked"
    """Came from somebody who is blocked."""
    ADDRESS = "address"
    """Refused, because there were too many from one address; the next four are alike."""
    NETWORK = "network"
    EMAIL = "email"
    BROWSER = "browser"
    SITE = "everybody"
    DECLINED = "declined"
    """Charges that a bank declined on a payment page."""


REFUSED = (
    What.BLOCKED, What.ADDRESS, What.NETWORK, What.EMAIL, What.BROWSER, What.SITE, What.ROBOT
)  # fmt: skip


def line(what: What) -> Limit:
    """Return the counter of this hour, to be counted together with limits."""
    return Limit(_PREFIX + what, _UNLIMITED, HOUR)


def tally(session: Session, what: What) -> None:
    """Count one in this hour."""
    counted(session, line(what))


def by_hour(session: Session, since: datetime) -> dict[datetime, dict[What, int]]:
    """Return the counts of each hour from the one that *since* is in, the latest first."""
    first = since.replace(minute=0, second=0, microsecond=0)
    keys = {_PREFIX + what: what for what in What}
    rows = session.execute(
        sa.select(RateCount.window_start, RateCount.key, RateCount.count)
        .where(RateCount.key.in_(keys), RateCount.window_start >= first)
        .order_by(RateCount.window_start.desc())
    )
    hours: dict[datetime, dict[What, int]] = {}
    for hour, key, count in rows:
        hours.setdefault(hour, {})[keys[key]] = count
    return hours


def refused(counts: dict[What, int]) -> int:
    """Return how many attempts got nowhere."""
    unanswered = counts.get(What.ASKED, 0) - passed_on(counts)
    return sum(counts.get(what, 0) for what in REFUSED) + max(0, unanswered)


def passed_on(counts: dict[What, int]) -> int:
    """Return how many of those who were asked for something came back with it."""
    return counts.get(What.SOLVED, 0) + counts.get(What.CODED, 0)


def refused_since(session: Session, since: datetime) -> int:
    """Return how many attempts got nowhere from the hour on that *since* is in."""
    return sum(refused(counts) for counts in by_hour(session, since).values())


def this_hour(session: Session) -> dict[What, int]:
    """Return the counts of the hour that is under way."""
    hours = by_hour(session, clock.now())
    return next(iter(hours.values()), {})
