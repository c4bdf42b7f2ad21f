"""What is paid out to the bank, in our own words."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from donorportal.money import Money
from donorportal.payments.returns import Movement


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePayout:
    """A payout as the payment service sees it.

    Attributes:
        amount: Negative where the service takes money from the bank.
        automatic: Made by the service's schedule; only of these it says what they are made of.
        lines_known: The service has finished saying so.
        movement: How the money left our balance, which is when the payout was made.
        failure_movement: How it came back, after the bank refused it or somebody canceled it.

    """

    remote_id: str
    remote_state: str
    amount: Money
    automatic: bool
    created_at: datetime
    arrives_on: date
    failure: str | None
    lines_known: bool
    movement: Movement | None
    failure_movement: Movement | None
    livemode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLine:
    """One movement of our balance, with what caused it.

    Attributes:
        kind: The service's type, for example charge, refund, adjustment, stripe_fee.
        category: What the service's own reports count it as.
        source_id: The charge, refund, dispute or payout behind it, if there is one.

    """

    movement: Movement
    kind: str
    category: str
    source_id: str | None

    @property
    def net(self) -> Money:
        """By how much the balance changed."""
        return self.movement.amount - self.movement.fee


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLines:
    """Some lines, and the id after which the next ones follow; None after the last."""

    lines: tuple[BalanceLine, ...]
    next_after: str | None


class PayoutsGateway(Protocol):
    """What we ask of the payment service about payouts."""

    def lines(self, payout_id: str, *, after: str | None = None) -> BalanceLines:
        """Return the next lines that an automatic payout is made of, itself included.

        Raises:
            GatewayUnavailable: No definite answer.

        """
