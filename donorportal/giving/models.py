"""Gifts, recurring gifts, their history and receipts."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from donorportal.db import Base, BigId, Id, Minor, Ref
from donorportal.money import Money


class GiftStatus(StrEnum):
    """Where one gift stands."""

    STARTED = "started"
    PLEDGED = "pledged"
    """Authorised, but the bank has not yet sent the money."""
    RECEIVED = "received"
    FAILED = "failed"
    ABANDONED = "abandoned"


class RecurringStatus(StrEnum):
    """Where one monthly gift stands; what it is follows from Stripe's subscription."""

    STARTED = "started"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    ENDED = "ended"
    LAPSED = "lapsed"
    """It ended because no bank paid, however often it was asked; nobody wanted that."""
    ABANDONED = "abandoned"
    UNKNOWN = "unknown"
    """Stripe reports a state that we have no word for; a person should look."""


OVER = (RecurringStatus.ENDED, RecurringStatus.LAPSED)
"""Nothing is charged any more."""


def _one_of(column: str, values: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Designation(Base):
    """A purpose that the donor may choose."""

    __tablename__ = "designation"

    code: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(120))
    description: Mapped[str] = mapped_column(sa.String(300), default="")
    position: Mapped[int] = mapped_column(default=0)
    closed_at: Mapped[datetime | None]


class Asked:
    """What the donor asked for on the form, and how it went with Checkout."""

    id: Mapped[Id]
    public_id: Mapped[UUID] = mapped_column(unique=True)
    """The name under which Stripe knows it; says nothing and cannot be guessed."""
    key: Mapped[UUID] = mapped_column(unique=True)
    """Rendered into the form: the same form sent twice is the same gift."""
    status: Mapped[str] = mapped_column(sa.String(12), default="started")
    """One of ``GiftStatus`` or ``RecurringStatus``."""
    amount_minor: Mapped[Minor]
    currency: Mapped[str] = mapped_column(sa.String(3))
    fee_cover_minor: Mapped[Minor] = mapped_column(default=0)
    """How much of the amount the donor added to cover the card fee."""
    email: Mapped[str] = mapped_column(sa.String(254))
    name: Mapped[str] = mapped_column(sa.String(200), default="")
    tribute_type: Mapped[str | None] = mapped_column(sa.String(10))
    tribute_name: Mapped[str | None] = mapped_column(sa.String(200))
    campaign: Mapped[str | None] = mapped_column(sa.String(64))
    story: Mapped[str | None] = mapped_column(sa.String(64))
    consents: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Topics ticked, with the wording version, the time and the address prefix."""
    created_at: Mapped[datetime]
    checkout_remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    checkout_url: Mapped[str | None] = mapped_column(sa.Text)
    checkout_attempt: Mapped[int] = mapped_column(default=1)
    """Part of the idempotency key: a new one whenever the parameters change."""
    checkout_asked_at: Mapped[datetime]
    """When this attempt began; its page closes a fixed time later."""
    origin: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=sa.text("'{}'"))
    """Marks of where it was started, for counting declined cards; emptied when money arrives."""

    @declared_attr
    @classmethod
    def designation_code(cls) -> Mapped[str]:
        """Where the money is meant to go."""
        return mapped_column(sa.ForeignKey("designation.code"))

    @declared_attr
    @classmethod
    def donor_id(cls) -> Mapped[int | None]:
        """Whose it is; known once money has arrived, so that attempts create no donors."""
        return mapped_column(BigId, sa.ForeignKey("donor.id"))

    @property
    def amount(self) -> Money:
        """The whole amount, fee cover included."""
        return Money(self.amount_minor, self.currency)


class RecurringGift(Asked, Base):
    """A standing instruction to give every month."""

    __tablename__ = "recurring_gift"

    remote_status: Mapped[str | None] = mapped_column(sa.String(40))
    remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    """The subscription at Stripe."""
    customer_remote_id: Mapped[str | None] = mapped_column(sa.String(255))
    next_on: Mapped[date | None]
    """As Stripe says, never computed."""
    card_brand: Mapped[str | None] = mapped_column(sa.String(20))
    card_last4: Mapped[str | None] = mapped_column(sa.String(4))
    card_remote_id: Mapped[str | None] = mapped_column(sa.String(255))
    """The card that is charged, by its name at Stripe; its number may change under it."""
    card_exp_month: Mapped[int | None]
    card_exp_year: Mapped[int | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    resumes_at: Mapped[datetime | None]
    """When a pause ends by itself, as Stripe says."""

    __table_args__ = (
        _one_of("status", RecurringStatus),
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.CheckConstraint(
            "fee_cover_minor >= 0 AND fee_cover_minor < amount_minor", name="fee_cover_within"
        ),
        sa.Index("ix_recurring_gift_donor", "donor_id", "status"),
        sa.Index("ix_recurring_gift_created", "status", "created_at"),
        sa.Index("ix_recurring_gift_begun", "started_at"),
        sa.Index("ix_recurring_gift_card", "card_remote_id"),
        sa.Index("ix_recurring_gift_expiry", "card_exp_year", "card_exp_month"),
    )


class Gift(Asked, Base):
    """One transfer of money, once."""

    __tablename__ = "gift"

    recurring_gift_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("recurring_gift.id"))
    payment_remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    charge_remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    invoice_remote_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    given_on: Mapped[date | None]
    """The date of the gift in the organisation's time zone, set once."""
    given_on_basis: Mapped[str | None] = mapped_column(sa.String(10))
    """Why that date: charged, postmark, received."""
    received_at: Mapped[datetime | None]
    refunded_minor: Mapped[Minor] = mapped_column(default=0)
    """What went back to the donor, or is on its way."""
    lost_minor: Mapped[Minor] = mapped_column(default=0, server_default=sa.text("0"))
    """What the donor's bank took back for good."""
    disputed_minor: Mapped[Minor] = mapped_column(default=0, server_default=sa.text("0"))
    """What the bank has taken and not decided about; until then it still counts as given."""
    card_brand: Mapped[str | None] = mapped_column(sa.String(20))
    card_last4: Mapped[str | None] = mapped_column(sa.String(4))
    failure: Mapped[str | None] = mapped_column(sa.String(60))
    """The reason as the bank put it; staff see it, the donor sees a neutral sentence."""
    balance_remote_id: Mapped[str | None] = mapped_column(sa.String(255))
    """The movement of Stripe's balance that brought it; leads to the entry of its fee."""
    needs_look: Mapped[str | None] = mapped_column(sa.String(200))
    """Why a person should look at this gift, if one should."""

    __table_args__ = (
        _one_of("status", GiftStatus),
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.CheckConstraint(
            "fee_cover_minor >= 0 AND fee_cover_minor < amount_minor", name="fee_cover_within"
        ),
        sa.CheckConstraint(
            "refunded_minor >= 0 AND lost_minor >= 0"
            " AND refunded_minor + lost_minor <= amount_minor",
            name="returned_within_gift",
        ),
        sa.CheckConstraint(
            "status <> 'received' OR (given_on IS NOT NULL AND received_at IS NOT NULL"
            " AND donor_id IS NOT NULL)",
            name="received_is_complete",
        ),
        sa.Index("ix_gift_history", "donor_id", "given_on", "id"),
        sa.Index("ix_gift_recurring", "recurring_gift_id"),
        sa.Index(
            "ix_gift_received",
            "received_at",
            sqlite_where=sa.text("status = 'received'"),
            postgresql_where=sa.text("status = 'received'"),
        ),
        sa.Index(
            "ix_gift_look",
            "id",
            sqlite_where=sa.text("needs_look IS NOT NULL"),
            postgresql_where=sa.text("needs_look IS NOT NULL"),
        ),
        sa.Index(
            "ix_gift_open",
            "created_at",
            sqlite_where=sa.text("status = 'started'"),
            postgresql_where=sa.text("status = 'started'"),
        ),
        sa.Index(
            "ix_gift_abandoned",
            "created_at",
            sqlite_where=sa.text("status = 'abandoned'"),
            postgresql_where=sa.text("status = 'abandoned'"),
        ),
    )


class GiftEvent(Base):
    """One thing that happened to a gift; never changed afterwards."""

    __tablename__ = "gift_event"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), index=True)
    at: Mapped[datetime]
    status: Mapped[str] = mapped_column(sa.String(12))
    cause: Mapped[str] = mapped_column(sa.String(80))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class RecurringGiftEvent(Base):
    """One thing that happened to a monthly gift; never changed afterwards."""

    __tablename__ = "recurring_gift_event"

    id: Mapped[Id]
    recurring_gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("recurring_gift.id"), index=True)
    at: Mapped[datetime]
    status: Mapped[str] = mapped_column(sa.String(12))
    cause: Mapped[str] = mapped_column(sa.String(80))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Receipt(Base):
    """The numbered proof of one gift."""

    __tablename__ = "receipt"

    id: Mapped[Id]
    gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("gift.id"), unique=True)
    year: Mapped[int]
    serial: Mapped[int]
    number: Mapped[str] = mapped_column(sa.String(20), unique=True)
    issued_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("year", "serial"),)


class ReceiptSeries(Base):
    """The last serial given out in a year; its row lock keeps the numbers gapless."""

    __tablename__ = "receipt_series"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_serial: Mapped[int] = mapped_column(default=0)
