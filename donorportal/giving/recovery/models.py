"""Charges that failed, and each time a donor asked to try one again."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id, Minor, Ref
from donorportal.money import Money


class ChargeState(StrEnum):
    """Where a charge stands that failed at least once.

    It begins as `open` and ends as one of the others. Money may still come for one that was given
    up, because its page at Stripe stays payable; `recovered` is the only state for ever.
    """

    OPEN = "open"
    RECOVERED = "recovered"
    GIVEN_UP = "given_up"
    """The bank was asked to the end, and the monthly gift lapsed."""
    WITHDRAWN = "withdrawn"
    """We stopped asking, because the donor or a staff member ended the gift or left a month out."""


class FailedCharge(Base):
    """A month of a monthly gift for which the bank did not pay at the first try."""

    __tablename__ = "failed_charge"

    id: Mapped[Id]
    recurring_gift_id: Mapped[Ref] = mapped_column(sa.ForeignKey("recurring_gift.id"), index=True)
    invoice_remote_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    amount_minor: Mapped[Minor]
    currency: Mapped[str] = mapped_column(sa.String(3))
    failed_at: Mapped[datetime]
    """When the first try that we know of failed."""
    reason: Mapped[str | None] = mapped_column(sa.String(60))
    """Of the last try, as the bank put it; donors get words that fit it."""
    tries: Mapped[int]
    next_try_at: Mapped[datetime | None]
    """As Stripe says; None when it says nothing, or nothing yet."""
    is_retried: Mapped[bool]
    """Whether Stripe goes on trying by itself."""
    pay_url: Mapped[str | None] = mapped_column(sa.Text)
    """Stripe's page on which the donor can confirm and pay it."""
    state: Mapped[str] = mapped_column(sa.String(10), default=ChargeState.OPEN)
    closed_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    """When the donor was written to about it."""

    __table_args__ = (
        sa.CheckConstraint(
            f"state IN ({', '.join(repr(str(state)) for state in ChargeState)})",
            name="state_known",
        ),
        sa.CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="open_until_closed"),
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.Index("ix_failed_charge_state", "state", "failed_at"),
    )

    @property
    def amount(self) -> Money:
        """What the bank was asked for."""
        return Money(self.amount_minor, self.currency)


class TryOutcome(StrEnum):
    """What came of asking the bank once more."""

    PAID = "paid"
    UNDER_WAY = "under_way"
    """The bank has said yes, and takes days to send the money."""
    UNPAID = "unpaid"
    WITHDRAWN = "withdrawn"
    """There was nothing to pay any more."""


class ChargeTry(Base):
    """A donor or staff member asked to try a failed charge now; written before Stripe is asked."""

    __tablename__ = "charge_try"

    id: Mapped[Id]
    key: Mapped[UUID] = mapped_column(unique=True)
    """Rendered into the form: the same form sent twice is one try."""
    failed_charge_id: Mapped[Ref] = mapped_column(sa.ForeignKey("failed_charge.id"))
    actor: Mapped[str] = mapped_column(sa.String(80))
    asked_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(sa.String(10))

    __table_args__ = (
        sa.CheckConstraint(
            f"outcome IN ({', '.join(repr(str(outcome)) for outcome in TryOutcome)})",
            name="outcome_known",
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (finished_at IS NULL)", name="outcome_when_finished"
        ),
        sa.Index("ix_charge_try_charge", "failed_charge_id", "asked_at"),
        sa.Index(
            "ix_charge_try_asked",
            "asked_at",
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        ),
    )
