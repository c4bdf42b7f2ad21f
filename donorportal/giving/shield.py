"""Keeping the giving form open for donors and tedious for those who test stolen cards."""

from datetime import timedelta

import sqlalchemy as sa

from donorportal.limits.counting import Limit, exceeded, network_of, until_next_window

_MINUTE = timedelta(minutes=1)
_WEEK = timedelta(days=7)


def admit(engine: sa.Engine, address: str, *, factor: int, signed_in: bool) -> timedelta | None:
    """Count an attempt to give from *address*; return how long to wait, or None to go ahead.

    Donors who are signed in are not slowed. Attempts on the whole site are limited as well, so
    that an attack from many addresses is bounded too.
    """
    if signed_in:
        return None
    limit = exceeded(
        engine,
        Limit(f"give:address:{address}", 3 * factor, _MINUTE),
        Limit(f"give:address-week:{address}", 15 * factor, _WEEK),
        Limit(f"give:network:{network_of(address)}", 10 * factor, _MINUTE),
        Limit("give:site", 30 * factor, _MINUTE),
    )
    return until_next_window(limit) if limit else None
