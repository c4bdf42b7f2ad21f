"""What we ask of a payment service, and what it tells us, in our own words."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from donorportal.money import Money
from donorportal.payments.listing import ListingGateway
from donorportal.payments.monthly import Card, CardSetUp, MonthlyGateway
from donorportal.payments.payouts import PayoutsGateway, RemotePayout
from donorportal.payments.returns import (
    Dispute,
    DisputeKind,
    FraudWarning,
    Movement,
    Returned,
    ReturnsGateway,
)

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API whose words are translated here."""


class GatewayUnavailable(Exception):  # noqa: N818 - refusals are named for what happened
    """No definite answer: the network, a time-out, a server error, too many requests.

    The call may or may not have taken effect; try again with the same key.
    """


class GatewayFailed(GatewayUnavailable):
    """An error of the service's own, which it repeats for a day: the next try needs a new key."""


class GatewayRejected(Exception):  # noqa: N818 - the same
    """A definite no to a request that we thought was right: a mistake of ours or of the set-up."""


class PaymentDeclined(Exception):  # noqa: N818 - the same
    """The donor's bank said no.

    Attributes:
        reason: The bank's code, for staff; donors get a neutral sentence.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """A page on which the donor pays *amount*, once or every month."""

    reference: str
    """Our public id of the gift or recurring gift; it comes back with everything."""
    amount: Money
    monthly: bool
    email: str
    return_url: str
    """Where the donor lands afterwards; the service fills in the session's id."""
    cancel_url: str
    locale: str
    expires_at: datetime
    methods: tuple[str, ...] = ("card",)
    """How it can be paid, in Stripe's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """A page that was just opened, and where the donor finds it."""

    remote_id: str
    url: str


class CheckoutState(StrEnum):
    """Where a Checkout page stands."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A page at the payment service on which the donor pays."""

    remote_id: str
    url: str | None
    state: CheckoutState
    monthly: bool
    reference: str | None
    paid: bool
    """The money is there, not only promised."""
    payment_id: str | None
    subscription_id: str | None
    invoice_id: str | None
    livemode: bool


class PaymentState(StrEnum):
    """Where a payment stands."""

    SUCCEEDED = "succeeded"
    PROCESSING = "processing"
    """Authorised; the bank will answer within days."""
    OPEN = "open"
    """Nothing has been taken: waiting for the donor, or the last try was declined."""
    CANCELED = "canceled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money moving from a donor to us."""

    remote_id: str
    state: PaymentState
    remote_state: str
    amount: Money
    reference: str | None
    charge_id: str | None
    charged_at: datetime | None
    card_brand: str | None
    card_last4: str | None
    card: Card | None
    """As it was when it was tried; None for what is no card."""
    failure: str | None
    fee: Movement | None
    """What the payment service credited and what it kept, once it says so."""
    refunds: tuple[Returned, ...]
    """Those that were looked at: all, or none where no money has gone back."""
    disputes: tuple[Dispute, ...]
    customer_id: str | None
    livemode: bool

    @property
    def arrived(self) -> bool:
        """Whether the money was there, even if the bank took it back afterwards."""
        returned = any(one.kind is DisputeKind.BANK_RETURN for one in self.disputes)
        return self.state is PaymentState.SUCCEEDED or returned


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What one month of a recurring gift asked for."""

    remote_id: str
    paid: bool
    drawn_up_at: datetime
    left_out: bool
    """It was made void before anybody was asked to pay: the month fell into a pause."""
    remote_state: str
    amount: Money
    subscription_id: str | None
    reference: str | None
    payment_id: str | None
    due: Money
    tries: int
    next_try_at: datetime | None
    """None with retries to come: the service has not chosen the time yet."""
    is_retried: bool
    """Whether the service goes on trying by itself."""
    pay_url: str | None
    """A page of the service on which the donor can pay it by hand."""
    livemode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """The payment service's side of a recurring gift."""

    remote_id: str
    remote_state: str
    paused: bool
    resumes_at: datetime | None
    """When a pause ends by itself."""
    amount: Money | None
    reference: str | None
    next_at: datetime | None
    ended_at: datetime | None
    started_at: datetime
    customer_id: str | None
    payment_method_id: str | None
    card: Card | None
    latest_invoice_id: str | None
    gave_up: bool
    """It ended because no charge went through to the end."""
    livemode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclinedCharge:
    """A charge that a bank said no to, however the payment went on after it."""

    charge_id: str
    at: datetime
    reason: str | None
    card: str | None
    """The same for every payment with one card, and says nothing about its number."""
    email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything the payment service says now about one thing that happened.

    Which parts are there depends on what was asked about; applying an observation twice, or two
    of them in any order, ends in the same books.
    """

    checkout: Checkout | None = None
    subscription: Subscription | None = None
    invoice: Invoice | None = None
    payment: Payment | None = None
    declined: DeclinedCharge | None = None
    warning: FraudWarning | None = None
    payout: RemotePayout | None = None
    saved_card: Card | None = None
    """A card that somebody gives with, looked at for its own sake."""
    set_up: CardSetUp | None = None

    @property
    def reference(self) -> UUID | None:
        """Our public id of what this is about; None when nothing of ours started it."""
        for thing in (self.subscription, self.invoice, self.payment, self.checkout):
            if thing is not None and thing.reference:
                try:
                    return UUID(thing.reference)
                except ValueError:
                    return None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedEvent:
    """An event whose signature was right."""

    event_id: str
    type: str
    object_id: str | None
    api_version: str | None
    livemode: bool
    account: str | None
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address to which the payment service sends events."""

    url: str
    enabled: bool
    api_version: str | None
    missing: frozenset[str]
    """The types of events that we need and it does not send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What the payment service's account is set up with, as far as it concerns us."""

    endpoints: tuple[Endpoint, ...]
    missing_products: tuple[str, ...]
    ahead_seconds: float
    """By how much our clock is ahead of the service's; to within a second."""


class SignatureRefused(Exception):  # noqa: N818 - the same
    """The event was not signed by the payment service, or too long ago."""


class Gateway(Protocol):
    """The payment service."""

    @property
    def monthly(self) -> MonthlyGateway:
        """What monthly gifts are asked to do."""

    @property
    def returns(self) -> ReturnsGateway:
        """Money that goes back."""

    @property
    def payouts(self) -> PayoutsGateway:
        """What is paid out to the bank."""

    @property
    def listing(self) -> ListingGateway:
        """Everything there is, page by page."""

    def open_checkout(self, request: CheckoutRequest, *, key: str) -> OpenPage:
        """Open a page to pay on; the same *key* gives the same page.

        Raises:
            GatewayUnavailable: No definite answer.
            GatewayRejected: The request was wrong.

        """

    def expire_checkout(self, remote_id: str) -> None:
        """Close a page that nobody has paid on; closing it again changes nothing.

        Raises:
            GatewayUnavailable: No definite answer.

        """

    def observe(self, object_id: str) -> Observation | None:
        """Say what is true now about an object and what hangs together with it.

        None: the service does not know the object, or it is of a kind that moves no money.

        Raises:
            GatewayUnavailable: No definite answer.

        """

    def verify_event(self, payload: bytes, signature: str) -> ReceivedEvent:
        """Check who sent an event and read what it is about.

        Raises:
            SignatureRefused: Not signed with our secret, altered, or too old.

        """
