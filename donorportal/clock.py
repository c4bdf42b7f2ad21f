"""The only reader of the wall clock."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def now() -> datetime:
    """Return the current instant, aware and in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def from_timestamp(seconds: int) -> datetime:
    """Return the instant *seconds* after the Unix epoch, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def local_date(instant: datetime, time_zone: str) -> date:
    """Return the calendar date of *instant* in *time_zone* (an IANA name)."""
    return instant.astimezone(ZoneInfo(time_zone)).date()
