"""The inbox of events."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id


class EventState(StrEnum):
    """Where one event of the inbox stands."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    """Understood to be of no concern to us."""
    QUARANTINED = "quarantined"
    """Stored, but a person should look: unknown type, foreign account, other API version."""


class InboundEvent(Base):
    """What Stripe told us, as it was told; one row per event id, for ever."""

    __tablename__ = "inbound_event"

    id: Mapped[Id]
    event_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    type: Mapped[str] = mapped_column(sa.String(80))
    object_id: Mapped[str | None] = mapped_column(sa.String(255), index=True)
    api_version: Mapped[str | None] = mapped_column(sa.String(40))
    livemode: Mapped[bool]
    account: Mapped[str | None] = mapped_column(sa.String(255))
    """Set when the event is about another account than ours."""
    payload: Mapped[str] = mapped_column(sa.Text)
    state: Mapped[str] = mapped_column(sa.String(12), default=EventState.RECEIVED)
    note: Mapped[str | None] = mapped_column(sa.Text)
    """Why it was ignored or set aside."""
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('received', 'processed', 'ignored', 'quarantined')", name="state_known"
        ),
        sa.Index("ix_inbound_event_state", "state", "id"),
    )
