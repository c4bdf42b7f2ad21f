"""Counting attempts: one atomic statement each, in the database that all processes share."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import UtcDateTime, run_alone, upsert
from donorportal.limits.models import RateCount


@dataclass(frozen=True, slots=True)
class Limit:
    """At most *most* attempts under *key* in each *window*."""

    key: str
    most: int
    window: timedelta


def attempt(session: Session, key: str, *, limit: int, window: timedelta) -> bool:
    """Count one attempt under *key* and say whether it is within *limit* for this *window*."""
    one = Limit(key, limit, window)
    return slowest(counted(session, one), one) is None


def slowest(counts: dict[str, int], *limits: Limit) -> Limit | None:
    """Return the limit that *counts* exceed and that takes longest to recover, if any."""
    over = [limit for limit in limits if counts[limit.key] > limit.most]
    return max(over, key=lambda limit: limit.window, default=None)


def counted(session: Session, *limits: Limit) -> dict[str, int]:
    """Count one attempt under each limit; return how many there are by key, this one included.

    Windows are fixed: the count starts anew at each multiple of the window. Refused attempts
    count too, so that hammering does not open the door. All rows are touched in one statement
    and in one order, so that two requests never wait for each other in a circle.
    """
    rows = session.connection().execute(*_counting(*limits))
    return {key: count for key, count in rows}  # noqa: C416 - rows are no pairs


def counted_alone(engine: sa.Engine, *limits: Limit) -> dict[str, int]:
    """Do the same in a transaction of its own.

    The attempt counts whatever becomes of it, and requests that share a row wait for nothing but
    the counting.
    """
    rows = run_alone(engine, *_counting(*limits))
    return {key: count for key, count in rows}  # noqa: C416 - the same


def take_back(session: Session, limit: Limit) -> None:
    """Undo one count of this window: what was refused for another reason does not count here."""
    session.connection().execute(
        sa.update(RateCount)
        .where(RateCount.key == limit.key, RateCount.window_start == _window_start(limit.window))
        .values(count=RateCount.count - 1)
    )


def spend(session: Session, key: str, *, expires_at: datetime) -> bool:
    """Use up what is good once until *expires_at*; False if somebody has used it before."""
    row = {"key": key, "window_start": expires_at, "count": 1}
    spent = upsert(session, RateCount).on_conflict_do_nothing().returning(sa.literal(1))
    return session.connection().execute(spent, row).first() is not None


def _counting(*limits: Limit) -> tuple[sa.TextClause, dict[str, Any]]:
    """Return the statement that counts, and its values."""
    starts = sorted((limit.key, _window_start(limit.window)) for limit in limits)
    values: dict[str, Any] = {f"key_{n}": key for n, (key, _) in enumerate(starts)}
    values.update({f"start_{n}": start for n, (_, start) in enumerate(starts)})
    return _count(len(starts)), values


@lru_cache
def _count(rows: int) -> sa.TextClause:
    """Return the statement that counts one attempt in so many rows.

    It is written out because SQLAlchemy compiles an INSERT of several rows anew each time, which
    takes longer than running it. Both databases understand it.
    """
    values = ", ".join(f"(:key_{n}, :start_{n}, 1)" for n in range(rows))
    starts = [sa.bindparam(f"start_{n}", type_=UtcDateTime()) for n in range(rows)]
    return sa.text(
        f"INSERT INTO rate_count (key, window_start, count) VALUES {values}"  # noqa: S608 - no input
        " ON CONFLICT (key, window_start) DO UPDATE SET count = rate_count.count + 1"
        " RETURNING key, count"
    ).bindparams(*starts)


def until_next_window(limit: Limit) -> timedelta:
    """Return how long it takes until *limit* counts from zero again."""
    return _window_start(limit.window) + limit.window - clock.now()


def forget_old(session: Session, *, older_than: timedelta) -> int:
    """Delete counters that no limit looks at any more; return how many there were."""
    deleted = session.execute(
        sa.delete(RateCount).where(RateCount.window_start < clock.now() - older_than)
    )
    return int(deleted.rowcount)  # type: ignore[attr-defined]


def network_of(address: str, v6_bits: int = 56) -> str:
    """Return the network an address belongs to: /24 of IPv4, /56 or as asked of IPv6.

    A provider hands one household or one attacker that many addresses, so limits by single
    address alone would not hold.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    prefix = 24 if parsed.version == 4 else v6_bits  # noqa: PLR2004 - the version of the protocol
    return str(ipaddress.ip_network(f"{parsed}/{prefix}", strict=False))


def _window_start(window: timedelta) -> datetime:
    seconds = int(window.total_seconds())
    now = int(clock.now().timestamp())
    return datetime.fromtimestamp(now - now % seconds, UTC)
