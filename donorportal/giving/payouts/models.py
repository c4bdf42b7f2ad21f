"""Payouts and their lines."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, BigId, Id, Minor, Ref
from donorportal.money import Money


class Payout(Base):
    """Money that the payment service sends to our bank; what it is follows from Stripe's payout."""

    __tablename__ = "payout"

    id: Mapped[Id]
    remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    amount_minor: Mapped[Minor]
    """Negative where the payment service takes money from the bank."""
    currency: Mapped[str] = mapped_column(sa.String(3))
    status: Mapped[str] = mapped_column(sa.String(20))
    """As Stripe says."""
    automatic: Mapped[bool]
    """Only of these does Stripe say what they are made of."""
    created_at: Mapped[datetime]
    arrives_on: Mapped[date]
    failure: Mapped[str | None] = mapped_column(sa.String(60))
    has_lines: Mapped[bool] = mapped_column(default=False)
    """Stripe has finished listing what it is made of."""
    last_line: Mapped[str | None] = mapped_column(sa.String(255))
    """Where reading the lines goes on after an interruption."""
    lines_minor: Mapped[int | None] = mapped_column(sa.BigInteger)
    """The sum of the lines, once all of them are read."""
    concern: Mapped[str | None] = mapped_column(sa.String(200))
    """Why it does not agree with our books, if it does not."""

    __table_args__ = (
        sa.Index("ix_payout_arrives", "arrives_on", "id"),
        sa.Index(
            "ix_payout_concern",
            "id",
            sqlite_where=sa.text("concern IS NOT NULL"),
            postgresql_where=sa.text("concern IS NOT NULL"),
        ),
    )

    @property
    def amount(self) -> Money:
        """What the bank gets."""
        return Money(self.amount_minor, self.currency)

    @property
    def agrees(self) -> bool:
        """Whether every line is in our books, and all of them add up to the deposit."""
        return self.lines_minor == self.amount_minor and self.concern is None


class PayoutLine(Base):
    """One movement of the balance that a payout is made of, in the payout's currency."""

    __tablename__ = "payout_line"

    id: Mapped[Id]
    payout_id: Mapped[Ref] = mapped_column(sa.ForeignKey("payout.id"))
    remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    """The balance transaction."""
    kind: Mapped[str] = mapped_column(sa.String(60))
    """Stripe's type."""
    category: Mapped[str] = mapped_column(sa.String(60))
    """Stripe's reporting category, which tells disputes from other adjustments."""
    source_id: Mapped[str | None] = mapped_column(sa.String(255))
    """The charge, refund or dispute behind it."""
    gift_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("gift.id"), index=True)
    moved_at: Mapped[datetime]
    gross_minor: Mapped[Minor]
    fee_minor: Mapped[Minor]
    net_minor: Mapped[Minor]
    concern: Mapped[str | None] = mapped_column(sa.String(200))
    """Why a person should look at it, if one should."""

    __table_args__ = (
        sa.CheckConstraint("net_minor = gross_minor - fee_minor", name="net_is_what_is_left"),
        sa.Index("ix_payout_line_payout", "payout_id", "id"),
        sa.Index(
            "ix_payout_line_concern",
            "payout_id",
            sqlite_where=sa.text("concern IS NOT NULL"),
            postgresql_where=sa.text("concern IS NOT NULL"),
        ),
    )
