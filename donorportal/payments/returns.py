"""Money that goes back, in our own words: refunds, disputes, warnings of fraud."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from donorportal.money import Money


class RefundState(StrEnum):
    """Where a refund stands at the payment service."""

    PENDING = "pending"
    """The money has left our balance and is on its way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It could not be delivered, perhaps weeks later, and is back in our balance."""
    CANCELED = "canceled"
    UNKNOWN = "unknown"


class DisputeKind(StrEnum):
    """How the donor's bank came to take money back."""

    INQUIRY = "inquiry"
    """The bank only asks; no money moves."""
    DISPUTE = "dispute"
    """The donor told the bank that the charge is wrong; we can answer."""
    BANK_RETURN = "bank return"
    """A bank debit that came back, against which nothing can be said."""


class DisputeState(StrEnum):
    """Where a dispute stands."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    """An inquiry that ended, or a dispute that was prevented: nothing was decided over money."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One change of our balance at the payment service.

    Attributes:
        amount: Signed, in the currency of the balance, which may differ from the gift's.
        fee: What the movement cost; negative where a fee came back.

    """

    transaction_id: str
    amount: Money
    fee: Money
    moved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A refund as the payment service sees it.

    Attributes:
        key: Ours, when we asked for it; None for one made in the service's own dashboard.
        movement: How the money left our balance, once that is known.
        failure_movement: How it came back.

    """

    remote_id: str
    amount: Money
    state: RefundState
    remote_state: str
    reason: str | None
    failure: str | None
    key: UUID | None
    created_at: datetime
    movement: Movement | None
    failure_movement: Movement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A dispute, an inquiry or a bank return.

    Attributes:
        amount: What is disputed, in the currency of the payment.
        closed_at: When it was last decided; None while it is open or when nobody can say.
        respond_by: Until when the bank waits for our answer.
        movements: Each change of our balance that belongs to it, oldest first.

    """

    remote_id: str
    kind: DisputeKind
    state: DisputeState
    remote_state: str
    amount: Money
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    respond_by: datetime | None
    movements: tuple[Movement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudWarning:
    """The card's network believes that the payment is fraud; a dispute is likely to follow."""

    remote_id: str
    kind: str
    actionable: bool
    """Neither refunded in full nor disputed yet."""
    warned_at: datetime


class ReturnsGateway(Protocol):
    """What we ask of the payment service about money that goes back."""

    def refund(self, payment_id: str, amount: Money, *, key: UUID, attempt: int) -> str:
        """Send *amount* of a payment back and return the refund's id.

        The same *attempt* at the same *key* is one refund, and *key* comes back with it.

        Raises:
            GatewayUnavailable: No definite answer.
            GatewayFailed: The same, and this attempt will always be answered so.
            GatewayRejected: It cannot be refunded: disputed, refunded before, more than is left.

        """

    def find_refund(self, payment_id: str, *, key: UUID) -> str | None:
        """Return the id of the refund that was made under *key*, None if there is none.

        Raises:
            GatewayUnavailable: No definite answer.

        """
