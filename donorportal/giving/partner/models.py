"""What was asked of a monthly gift, and what came of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id, Ref


class Action(StrEnum):
    """What can be asked of a monthly gift."""

    AMOUNT = "amount"
    DESIGNATION = "designation"
    DAY = "day"
    CARD = "card"
    SKIP = "skip"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"
    ONCE = "once"
    """It was meant to be one gift: the first is kept, everything after it is undone."""


class ChangeState(StrEnum):
    """How far a change has come."""

    ASKED = "asked"
    DONE = "done"
    REFUSED = "refused"


def _listed(values: type[StrEnum]) -> str:
    return ", ".join(f"'{value}'" for value in values)


class RecurringChange(Base):
    """One change of a monthly gift, committed before the payment service is asked."""

    __tablename__ = "recurring_change"

    id: Mapped[Id]
    key: Mapped[UUID] = mapped_column(unique=True)
    """Rendered into the form: the same form sent twice is one act."""
    recurring_gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("recurring_gift.id"), index=True)
    action: Mapped[str] = mapped_column(sa.String(12))
    wanted: Mapped[dict[str, Any]]
    before: Mapped[dict[str, Any]]
    """How things stood when it was asked for."""
    actor: Mapped[str] = mapped_column(sa.String(80))
    """``donor:12`` or ``staff:3``."""
    state: Mapped[str] = mapped_column(sa.String(8), default="asked")
    attempt: Mapped[int] = mapped_column(default=1)
    """Part of the idempotency key: Stripe repeats an error of its own for a day."""
    asked_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any]] = mapped_column(default=dict)

    __table_args__ = (
        sa.CheckConstraint(f"action IN ({_listed(Action)})", name="action_known"),
        sa.CheckConstraint(f"state IN ({_listed(ChangeState)})", name="state_known"),
        sa.CheckConstraint(
            "(state = 'asked') = (finished_at IS NULL)", name="finished_when_no_longer_asked"
        ),
        # Two changes of one gift never meet at the payment service; a card meets no other change.
        sa.Index(
            "ix_recurring_change_under_way",
            "recurring_gift_id",
            unique=True,
            sqlite_where=sa.text("state = 'asked' AND action <> 'card'"),
            postgresql_where=sa.text("state = 'asked' AND action <> 'card'"),
        ),
        sa.Index(
            "ix_recurring_change_asked",
            "asked_at",
            sqlite_where=sa.text("state = 'asked'"),
            postgresql_where=sa.text("state = 'asked'"),
        ),
    )
