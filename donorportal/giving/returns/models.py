"""Refunds, disputes, warnings of fraud, and the tasks that they leave for staff."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id, Minor, Ref
from donorportal.money import Money


class RefundStatus(StrEnum):
    """Where one refund stands."""

    ASKED = "asked"
    """Stored by us; Stripe has not answered yet."""
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    """Stripe refused it, or it was withdrawn."""


GOING_BACK = (RefundStatus.PENDING, RefundStatus.SUCCEEDED)
"""The refunds that make a gift smaller."""


class Refund(Base):
    """Money of one gift that we send back, or that staff sent back in Stripe's dashboard."""

    __tablename__ = "refund"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), index=True)
    key: Mapped[UUID | None]
    """Rendered into the form, and given to Stripe: the same form sent twice is one refund."""
    remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    amount_minor: Mapped[Minor]
    currency: Mapped[str] = mapped_column(sa.String(3))
    status: Mapped[str] = mapped_column(sa.String(20))
    attempt: Mapped[int] = mapped_column(default=1, server_default=sa.text("1"))
    """Part of the idempotency key: a new one after Stripe failed by itself, which it repeats."""
    actor: Mapped[str] = mapped_column(sa.String(80), server_default="stripe")
    """Who asked: ``staff:3``, ``donor:12``, ``system``, or ``stripe`` for one that was found."""
    reason: Mapped[str | None] = mapped_column(sa.String(200))
    failure: Mapped[str | None] = mapped_column(sa.String(120))
    balance_remote_id: Mapped[str | None] = mapped_column(sa.String(255))
    """The movement of Stripe's balance by which the money left."""
    failure_remote_id: Mapped[str | None] = mapped_column(sa.String(255))
    """The one by which it came back."""
    refunded_on: Mapped[date]
    """When the money left, in the organisation's time zone; the day of asking until then."""
    failed_on: Mapped[date | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.CheckConstraint(
            "status IN ('asked', 'pending', 'succeeded', 'failed', 'canceled')",
            name="status_known",
        ),
        sa.CheckConstraint("status <> 'asked' OR key IS NOT NULL", name="asked_with_key"),
        sa.Index("ix_refund_key", "key", unique=True),
        sa.Index(
            "ix_refund_asked",
            "created_at",
            sqlite_where=sa.text("status = 'asked'"),
            postgresql_where=sa.text("status = 'asked'"),
        ),
    )

    @property
    def amount(self) -> Money:
        """What goes back."""
        return Money(self.amount_minor, self.currency)


class DisputeRecord(Base):
    """A gift that the donor's bank questions, or has taken back."""

    __tablename__ = "dispute"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), index=True)
    remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    """The dispute at Stripe, or the charge that failed after it had succeeded."""
    kind: Mapped[str] = mapped_column(sa.String(12))
    status: Mapped[str] = mapped_column(sa.String(12))
    remote_status: Mapped[str] = mapped_column(sa.String(40))
    amount_minor: Mapped[Minor]
    currency: Mapped[str] = mapped_column(sa.String(3))
    reason: Mapped[str] = mapped_column(sa.String(60))
    opened_on: Mapped[date]
    closed_on: Mapped[date | None]
    respond_by: Mapped[datetime | None]
    lost_minor: Mapped[Minor] = mapped_column(default=0)
    """How much of the gift is lost."""
    excess_minor: Mapped[Minor] = mapped_column(default=0)
    """What the bank took beyond the gift, which had been refunded before."""
    cleared_minor: Mapped[Minor] = mapped_column(default=0)
    """What has left the account of disputed money because of a decision, in the currency of the
    movements, which may differ from the gift's."""
    turns: Mapped[int] = mapped_column(default=0)
    """How often what is lost has changed; part of the source of its entries."""

    __table_args__ = (
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.CheckConstraint("lost_minor >= 0", name="lost_not_negative"),
    )

    @property
    def amount(self) -> Money:
        """What is disputed."""
        return Money(self.amount_minor, self.currency)


class DisputeMovement(Base):
    """One change of our balance because of a dispute; each is in the ledger once."""

    __tablename__ = "dispute_movement"

    id: Mapped[Id]
    dispute_id: Mapped[Ref] = mapped_column(sa.ForeignKey("dispute.id"), index=True)
    remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    amount_minor: Mapped[Minor]
    """Negative when the bank took the money, positive when it gave it back."""
    currency: Mapped[str] = mapped_column(sa.String(3))
    moved_on: Mapped[date]


class FraudWarningRecord(Base):
    """A warning by the card's network that a gift is probably fraud."""

    __tablename__ = "fraud_warning"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), index=True)
    remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    kind: Mapped[str] = mapped_column(sa.String(60))
    warned_at: Mapped[datetime]
    refund_key: Mapped[UUID | None]
    """Of the refund that answers it; None where a person decides."""


class GiftTask(Base):
    """Something about a gift that a person should look at, until somebody says it is settled."""

    __tablename__ = "gift_task"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), index=True)
    key: Mapped[str] = mapped_column(sa.String(300), unique=True)
    """What it is about, for example ``dispute:dp_123``: one task, however often we are told."""
    text: Mapped[str] = mapped_column(sa.String(300))
    due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[str | None] = mapped_column(sa.String(80))
    note: Mapped[str | None] = mapped_column(sa.String(500))

    __table_args__ = (
        sa.Index(
            "ix_gift_task_open",
            "id",
            sqlite_where=sa.text("settled_at IS NULL"),
            postgresql_where=sa.text("settled_at IS NULL"),
        ),
    )
