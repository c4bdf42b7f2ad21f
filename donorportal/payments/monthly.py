"""What a monthly gift is asked to do at the payment service, in our own words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from donorportal.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCharge:
    """A month's charge that is drawn up and not paid."""

    remote_id: str
    amount: Money
    next_try_at: datetime | None
    is_fresh: bool
    """It was drawn up within the hour and is charged as it was, whatever changes now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """What a monthly gift charges from now on, with a change applied or without."""

    amount: Money
    starts_at: datetime
    """When the next month begins for which there is a charge."""
    following_at: datetime
    """When the month after that begins."""
    anchor_at: datetime
    """On this day of the month all later ones begin, or on the last day of a shorter month."""
    delay: timedelta
    """How long after a month begins its charge is tried."""
    is_paused: bool
    resumes_at: datetime | None
    """Months that begin earlier are left out; None with a pause: until somebody resumes it."""
    unpaid: tuple[OpenCharge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card as it is now; the bank may replace its number and its expiry by itself."""

    remote_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    livemode: bool

    @property
    def expiry(self) -> tuple[int, int]:
        """The year and the month through whose end it is good."""
        return self.exp_year, self.exp_month


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPageRequest:
    """A page on which the donor of a monthly gift types another card; nothing is charged there."""

    subscription_id: str
    customer_id: str
    currency: str
    reference: str
    """Our public id of the monthly gift."""
    actor: str
    """Who asked for the page; it comes back with the card."""
    return_url: str
    """Where the donor lands afterwards; the service fills in the session's id."""
    cancel_url: str
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSetUp:
    """A card that the donor left for later charges."""

    remote_id: str
    is_complete: bool
    payment_method_id: str | None
    subscription_id: str | None
    reference: str | None
    actor: str | None
    livemode: bool


class MonthlyGateway(Protocol):
    """The payment service, as far as monthly gifts go.

    Every call may raise GatewayUnavailable (no definite answer: ask again with the same key) and
    GatewayRejected (a definite no: it has ended, or the request was wrong).
    """

    def upcoming(
        self, subscription_id: str, *, amount: Money | None = None, next_at: datetime | None = None
    ) -> Upcoming | None:
        """Say what will be charged, with another amount or day if given; None: nothing more."""

    def change_amount(self, subscription_id: str, amount: Money, *, key: str) -> None:
        """Charge *amount* from the next charge on; nothing is charged now."""

    def move_day(self, subscription_id: str, next_at: datetime, *, key: str) -> None:
        """Begin the next month at *next_at* and later ones on its day; nothing is charged now."""

    def pause(self, subscription_id: str, resumes_at: datetime, *, key: str) -> None:
        """Leave out every month that begins before *resumes_at*; the day stays."""

    def resume(self, subscription_id: str, *, key: str) -> None:
        """Leave out no month any more."""

    def end(self, subscription_id: str, *, reason: str | None, comment: str) -> None:
        """Charge nothing more, open charges included; ending what has ended changes nothing."""

    def void_open(self, subscription_id: str) -> None:
        """Try no open charge again."""

    def open_card_page(self, request: CardPageRequest, *, key: str) -> str:
        """Return the address of a page for another card; the same *key* gives the same page."""

    def use_card(self, subscription_id: str, payment_method_id: str, *, key: str) -> None:
        """Charge this card from now on."""

    def open_charges(self, subscription_id: str) -> tuple[str, ...]:
        """Return the ids of the charges that the bank was asked for and has not paid."""

    def pay_charge(self, charge_id: str, payment_method_id: str, *, key: str) -> None:
        """Try an open charge with this card now; one that is not open any more is left alone.

        Raises:
            PaymentDeclined: The bank said no.

        """

    def pay(self, invoice_id: str, *, key: str) -> None:
        """Try one open charge now, with the card that is on file.

        Raises:
            PaymentDeclined: The bank said no.

        """

    def give_up(self, subscription_id: str) -> None:
        """End what no bank paid to the end; its open charge stays payable, and is not tried."""

    def charges_of(self, subscription_id: str) -> tuple[str, ...]:
        """Return the ids of all that was ever drawn up, the oldest first."""
