"""Payouts at Stripe, translated."""

from typing import Any

import stripe

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.payouts import BalanceLine, BalanceLines, RemotePayout
from donorportal.payments.returns import Movement
from donorportal.payments.stripe_calls import translated
from donorportal.payments.stripe_returns import movement_from

PAYOUT_EVENTS: tuple[Any, ...] = (
    "payout.created",
    "payout.updated",
    "payout.paid",
    "payout.failed",
    "payout.canceled",
    "payout.reconciliation_completed",
)
_AT_ONCE = 100


class StripePayouts:
    """The part of the gateway about payouts."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def payout(self, remote_id: str) -> RemotePayout:
        """Read a payout with the movements of our balance that it made."""
        expanded = ["balance_transaction", "failure_balance_transaction"]
        return _payout_from(self._client.v1.payouts.retrieve(remote_id, {"expand": expanded}))

    def lines(self, payout_id: str, *, after: str | None = None) -> BalanceLines:
        """Read a page of a payout's lines; see ``PayoutsGateway.lines``."""
        with translated():
            page = self._client.v1.balance_transactions.list(lines_params(payout_id, after))
            return BalanceLines(
                lines=tuple(line_from(transaction) for transaction in page.data),
                next_after=page.data[-1].id if page.has_more else None,
            )


def lines_params(payout_id: str, after: str | None) -> Any:
    """Return what Stripe wants to know to list a payout's lines, newest first."""
    params = {"payout": payout_id, "limit": _AT_ONCE}
    return params | {"starting_after": after} if after else params


def line_from(transaction: stripe.BalanceTransaction) -> BalanceLine:
    """Translate a balance transaction with its cause."""
    source: Any = transaction.source
    return BalanceLine(
        movement=movement_from(transaction),
        kind=transaction.type,
        category=transaction.reporting_category,
        source_id=source if source is None or isinstance(source, str) else str(source.id),
    )


def _payout_from(payout: stripe.Payout) -> RemotePayout:
    return RemotePayout(
        remote_id=payout.id,
        remote_state=payout.status,
        amount=Money(payout.amount, payout.currency.upper()),
        automatic=payout.automatic,
        created_at=clock.from_timestamp(payout.created),
        # Stripe says a day, written as the midnight with which it begins in UTC.
        arrives_on=clock.from_timestamp(payout.arrival_date).date(),
        failure=payout.failure_code,
        lines_known=payout.automatic and payout.reconciliation_status == "completed",
        movement=_movement(payout.balance_transaction),
        failure_movement=_movement(payout.failure_balance_transaction),
        livemode=payout.livemode,
    )


def _movement(transaction: Any) -> Movement | None:
    known = isinstance(transaction, stripe.BalanceTransaction)
    return movement_from(transaction) if known else None
