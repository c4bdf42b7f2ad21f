"""How many failed charges came good."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.recovery.models import ChargeState, FailedCharge


@dataclass(frozen=True, slots=True)
class Recovery:
    """The charges that first failed in one year, and what became of them."""

    recovered: int
    given_up: int
    withdrawn: int
    open: int

    @property
    def decided(self) -> int:
        """How many have ended, one way or the other."""
        return self.recovered + self.given_up + self.withdrawn

    @property
    def percent(self) -> int | None:
        """The share of those decided that was paid after all, rounded; None without any."""
        if not self.decided:
            return None
        return (200 * self.recovered + self.decided) // (2 * self.decided)

    @property
    def sentence(self) -> str:
        """The figure in words, for staff."""
        if not self.decided and not self.open:
            return "No charge of a monthly gift failed this year."
        waiting = f" {self.open} more {_are(self.open)} still open." if self.open else ""
        if not self.decided:
            return f"{self.open} failed {_charges(self.open)} this year, still open."
        return (
            f"Of {self.decided} failed {_charges(self.decided)} this year, {self.recovered}"
            f" recovered, {self.percent} %.{waiting}"
        )


def of_year(session: Session, year: int, time_zone: str) -> Recovery:
    """Count the charges that first failed in a calendar *year* of *time_zone*."""
    zone = ZoneInfo(time_zone)
    begin, end = (datetime(y, 1, 1, tzinfo=zone).astimezone(UTC) for y in (year, year + 1))
    counted = session.execute(
        sa.select(FailedCharge.state, sa.func.count())
        .where(FailedCharge.failed_at >= begin, FailedCharge.failed_at < end)
        .group_by(FailedCharge.state)
    )
    counts = {state: count for state, count in counted}  # noqa: C416 - rows are no pairs
    return Recovery(**{state.value: counts.get(state.value, 0) for state in ChargeState})


def _charges(count: int) -> str:
    return "charge" if count == 1 else "charges"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
