"""Billing periods: whole intervals from an anchor, in UTC, the day clamped to the month."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

from donorportal.sandbox.storage import Body


def period_end(anchor: int, start: int, recurring: Body) -> int:
    """Return the first whole interval after the anchor which ends later than `start`."""
    count = 0
    while _after(anchor, count, recurring) <= start:
        count += 1
    return _after(anchor, count, recurring)


def _after(anchor: int, count: int, recurring: Body) -> int:
    moment = datetime.fromtimestamp(anchor, UTC)
    steps = count * recurring["interval_count"]
    match recurring["interval"]:
        case "day":
            moment += timedelta(days=steps)
        case "week":
            moment += timedelta(weeks=steps)
        case "month":
            moment = _add_months(moment, steps)
        case _:
            moment = _add_months(moment, 12 * steps)
    return int(moment.timestamp())


def _add_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
