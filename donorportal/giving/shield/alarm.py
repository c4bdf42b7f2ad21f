"""The breaker: under attack the form asks every visitor for proof of work, until it is over.

It opens by itself, lasts for as long as there are signs of an attack and a quarter of an hour
longer, and ends by the clock alone: there is nothing that anybody has to remember to undo.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.giving.shield import holds, tallies
from donorportal.giving.shield.holds import Hold

_STAYS = timedelta(minutes=15)
# Of two signs within a minute one is enough: under attack each write costs.
_FRESH = timedelta(minutes=14)
LONGEST_HOURS = 72


class Switch(StrEnum):
    """What staff may want."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"


def is_on(standing: Mapping[str, Hold]) -> bool:
    """Say whether the form asks every visitor for proof of work."""
    return holds.SITE in standing and holds.OFF not in standing


def needs(standing: Hold | None) -> bool:
    """Say whether another sign would make a difference to the alarm that is on, if any."""
    return standing is None or standing.until - clock.now() < _FRESH


def sound(session: Session, why: str, standing: Hold | None) -> None:
    """Note a sign of an attack: *standing* is the alarm that is on already, if any."""
    if standing is None:
        before = tallies.refused(tallies.this_hour(session))
        holds.hold(session, holds.SITE, _STAYS, why=why, refused_before=before)
    elif needs(standing):
        holds.hold(session, holds.SITE, _STAYS, why=why)


def switch(session: Session, to: Switch, hours: int, *, actor: str) -> None:
    """Let staff have the form ask for *hours*, or not ask, or leave it to the counts again.

    Raises:
        ValueError: So many hours make no sense.

    """
    if not 1 <= hours <= LONGEST_HOURS:
        raise ValueError(f"from 1 to {LONGEST_HOURS} hours")
    holds.end(session, holds.SITE, holds.OFF)
    if to is not Switch.AUTO:
        key = holds.SITE if to is Switch.ON else holds.OFF
        before = tallies.refused(tallies.this_hour(session))
        holds.hold(session, key, timedelta(hours=hours), why="staff", refused_before=before)
    record(session, actor=actor, action=f"shield {to}", subject="shield", detail={"hours": hours})
