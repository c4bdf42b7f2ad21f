"""Everything the payment service has, page by page, in our own words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from donorportal.money import Money
from donorportal.payments.payouts import BalanceLine


class Thing(StrEnum):
    """What can be listed."""

    CHECKOUT = "checkout"
    CHARGE = "charge"
    INVOICE = "invoice"
    SUBSCRIPTION = "subscription"
    REFUND = "refund"
    DISPUTE = "dispute"
    PAYOUT = "payout"
    MOVEMENT = "movement"
    """A change of our balance, with its fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One object as a list shows it: small, and enough to compare it with our books.

    Attributes:
        state: As our words say it where we have words for it, otherwise as the service does.
        amount: None for what is not about one amount.
        reference: Our public id, where the service carries it.
        payment_id: Of what a charge, refund, dispute or page belongs to.
        parent_id: The charge of a dispute, the subscription of an invoice or a page.
        transaction_id: The change of our balance that a charge made, once it is known.
        has_come_back: A bank debit that had arrived and was taken back.
        next_at: When a subscription is charged next.
        is_paused: A subscription of which nothing is charged for a time.
        gave_up: A subscription that ended because no charge went through.
        line: What a movement is, whole.

    """

    remote_id: str
    created_at: datetime
    state: str
    amount: Money | None = None
    reference: str | None = None
    payment_id: str | None = None
    parent_id: str | None = None
    transaction_id: str | None = None
    has_come_back: bool = False
    next_at: datetime | None = None
    is_paused: bool = False
    gave_up: bool = False
    line: BalanceLine | None = None


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Some objects, newest first, and the id after which older ones follow; None after the last."""

    listed: tuple[Listed, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """An event that no endpoint of ours has taken."""

    event_id: str
    type: str
    object_id: str | None
    api_version: str | None
    livemode: bool
    account: str | None
    payload: str


class ListingGateway(Protocol):
    """What we ask of the payment service in order to compare everything."""

    def page(
        self,
        thing: Thing,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
    ) -> ListedPage:
        """Return up to a hundred of the *things* created within a time, those *after* an id.

        Raises:
            GatewayUnavailable: No definite answer.

        """

    def one(self, thing: Thing, remote_id: str) -> Listed | None:
        """Return one object as it is now; None if the service does not know it.

        Raises:
            GatewayUnavailable: No definite answer.

        """

    def balance(self) -> dict[str, Money]:
        """Return what the service holds for us, by currency, available or not yet.

        Raises:
            GatewayUnavailable: No definite answer.

        """

    def undelivered(self, types: tuple[str, ...], *, since: datetime) -> Iterator[Undelivered]:
        """Yield events of these types, newest first, that no endpoint has taken.

        Raises:
            GatewayUnavailable: No definite answer.

        """
