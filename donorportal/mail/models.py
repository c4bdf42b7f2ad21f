"""The outbox and the addresses we must not write to."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id


class OutboxState(StrEnum):
    """Where one message of the outbox stands."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class OutboxMessage(Base):
    """One message to one address: a template's name and what to put into it."""

    __tablename__ = "outbox_message"

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(sa.String(160), unique=True)
    """The same key is never mailed twice, for example ``receipt:12``."""
    kind: Mapped[str] = mapped_column(sa.String(40))
    """The template's folder under ``email/``."""
    address: Mapped[str] = mapped_column(sa.String(254))
    context: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(sa.String(10), default=OutboxState.QUEUED)
    message_id: Mapped[str] = mapped_column(sa.String(255))
    """Fixed when queued, so that a second copy after a crash is recognised as the same mail."""
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    reply: Mapped[str | None] = mapped_column(sa.Text)
    """The relay's last answer."""

    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'failed', 'suppressed')", name="state_known"
        ),
        sa.Index("ix_outbox_message_state", "state", "id"),
    )


class Suppression(Base):
    """An address that must not be written to, kept as a keyed hash so that it survives erasure."""

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    stream: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    """``receipts`` or ``updates``: each stream stands alone."""
    reason: Mapped[str] = mapped_column(sa.String(40))
    created_at: Mapped[datetime]
