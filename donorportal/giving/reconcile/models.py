"""Runs of the comparison, how far each list was walked, and the differences that were found."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, BigId, Id


class DifferenceState(StrEnum):
    """Where one difference stands."""

    OPEN = "open"
    """There is a safe repair, which has not been made."""
    PERSON = "person"
    """Nobody can tell by rule which side is right."""
    REPAIRED = "repaired"
    EXPLAINED = "explained"
    """A person says that it may stay as it is."""
    GONE = "gone"
    """It was not there any more when it was looked at again."""


STANDING = (DifferenceState.OPEN, DifferenceState.PERSON)
"""The states in which Stripe and our books do not agree."""


class ReconcileRun(Base):
    """One comparison of everything; at most one is under way."""

    __tablename__ = "reconcile_run"

    id: Mapped[Id]
    standing: Mapped[bool | None] = mapped_column(unique=True)
    """True while it is under way, then nothing."""
    owner: Mapped[str | None] = mapped_column(sa.String(36))
    """The process that works on it; another takes over when its pulse has stopped."""
    pulse_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(80))
    repairs: Mapped[bool]
    started_at: Mapped[datetime]
    since: Mapped[datetime | None]
    """Objects created before this were not listed; None where each list has its own mark."""
    until: Mapped[datetime | None]
    """Objects created after this were left to the next run; None for whatever there is."""
    step: Mapped[str] = mapped_column(sa.String(20))
    after: Mapped[str | None] = mapped_column(sa.String(255))
    """Where the step goes on after an interruption."""
    reached: Mapped[datetime | None]
    """When the last object was created that was looked at in this step."""
    steps_done: Mapped[int] = mapped_column(default=0)
    walked: Mapped[int] = mapped_column(default=0)
    found: Mapped[int] = mapped_column(default=0)
    repaired: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    left: Mapped[int | None]
    """How many differences stood when it ended."""

    __table_args__ = (sa.Index("ix_reconcile_run_finished", "finished_at"),)


class ReconcileMark(Base):
    """Up to when everything of one kind was compared."""

    __tablename__ = "reconcile_mark"

    step: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    walked_until: Mapped[datetime]


class ReconcileDay(Base):
    """What the movements of one day came to at the payment service, summed while they are walked.

    The rows belong to the run that is under way.
    """

    __tablename__ = "reconcile_day"

    day: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    currency: Mapped[str] = mapped_column(sa.String(3), primary_key=True)
    net_minor: Mapped[int] = mapped_column(sa.BigInteger)


class Difference(Base):
    """One thing that is not the same at the payment service and in our books."""

    __tablename__ = "reconcile_difference"

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(sa.String(40))
    object_id: Mapped[str] = mapped_column(sa.String(255))
    """At Stripe; or the ledger's source, or the currency, of what Stripe has no name for."""
    gift_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("gift.id"))
    expected: Mapped[str] = mapped_column(sa.String(200))
    """What the payment service says."""
    found: Mapped[str] = mapped_column(sa.String(200))
    """What our books say."""
    state: Mapped[str] = mapped_column(sa.String(10))
    note: Mapped[str | None] = mapped_column(sa.String(500))
    found_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(sa.String(80))

    __table_args__ = (
        sa.UniqueConstraint("kind", "object_id", name="uq_reconcile_difference_once"),
        sa.CheckConstraint(
            f"state IN ({', '.join(repr(str(state)) for state in DifferenceState)})",
            name="state_known",
        ),
        sa.Index("ix_reconcile_difference_state", "state", "id"),
    )
