"""Refunds, disputes and fraud warnings at Stripe, translated."""

from typing import Any
from uuid import UUID

import stripe

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.returns import (
    Dispute,
    DisputeKind,
    DisputeState,
    FraudWarning,
    Movement,
    RefundState,
    Returned,
)
from donorportal.payments.stripe_calls import translated

REFUND_EVENTS: tuple[Any, ...] = (
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
)
REFUND_STATES = {
    "pending": RefundState.PENDING,
    # The donor still has to say where to; our balance has been charged.
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.CANCELED,
}
DISPUTE_STATES = {
    "warning_needs_response": DisputeState.OPEN,
    "warning_under_review": DisputeState.OPEN,
    "warning_closed": DisputeState.CLOSED,
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.OPEN,
    "prevented": DisputeState.CLOSED,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
}
_CLOSED = "charge.dispute.closed"
# Nobody can dispute these with us: the bank takes the money back, and that is the end of it.
_DEBITS = frozenset({"us_bank_account", "bacs_debit", "sepa_debit", "acss_debit", "au_becs_debit"})


class StripeReturns:
    """The part of the gateway about money that goes back."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def refund(self, payment_id: str, amount: Money, *, key: UUID, attempt: int) -> str:
        """Refund a payment; see ``ReturnsGateway.refund``."""
        with translated():
            made = self._client.v1.refunds.create(
                refund_params(payment_id, amount, key),
                {"idempotency_key": f"refund:{key}:{attempt}"},
            )
        return made.id

    def find_refund(self, payment_id: str, *, key: UUID) -> str | None:
        """Look for our refund of a payment; see ``ReturnsGateway.find_refund``."""
        with translated():
            found = (one.remote_id for one in self.refunds_of(payment_id) if one.key == key)
            return next(found, None)

    def refunds_of(self, payment_id: str) -> tuple[Returned, ...]:
        """Return every refund of a payment, the oldest first."""
        listed = self._client.v1.refunds.list(
            {"payment_intent": payment_id, "limit": 100, "expand": ["data.balance_transaction"]}
        )
        return tuple(
            _returned_from(refund, self._failure_of(refund)) for refund in reversed(listed.data)
        )

    def disputes_of(self, charge: stripe.Charge) -> tuple[Dispute, ...]:
        """Return every dispute over a charge, and its return by the bank, the oldest first."""
        found = [_bank_return(charge)] if charge.failure_balance_transaction else []
        if charge.disputed:
            listed = self._client.v1.disputes.list({"charge": charge.id, "limit": 100})
            found += [self._dispute(one, _is_debit(charge)) for one in reversed(listed.data)]
        return tuple(found)

    def payment_of_refund(self, refund_id: str) -> str | None:
        """Return the id of the payment that a refund belongs to."""
        return _id_of(self._client.v1.refunds.retrieve(refund_id).payment_intent)

    def payment_of_dispute(self, dispute_id: str) -> str | None:
        """Return the id of the payment that a dispute is about."""
        return _id_of(self._client.v1.disputes.retrieve(dispute_id).payment_intent)

    def warning(self, warning_id: str) -> tuple[FraudWarning, str | None]:
        """Return a warning, and the id of the payment that it is about."""
        warned = self._client.v1.radar.early_fraud_warnings.retrieve(warning_id)
        return (
            FraudWarning(
                remote_id=warned.id,
                kind=warned.fraud_type,
                actionable=warned.actionable,
                warned_at=clock.from_timestamp(warned.created),
            ),
            _id_of(warned.payment_intent),
        )

    def _failure_of(self, refund: stripe.Refund) -> Movement | None:
        """Return how a refund's money came back; it is left out of refunds that did not fail."""
        transaction_id = _id_of(getattr(refund, "failure_balance_transaction", None))
        if transaction_id is None:
            return None
        return movement_from(self._client.v1.balance_transactions.retrieve(transaction_id))

    def _dispute(self, dispute: stripe.Dispute, is_debit: bool) -> Dispute:
        state = DISPUTE_STATES.get(dispute.status, DisputeState.UNKNOWN)
        due = dispute.evidence_details.due_by
        return Dispute(
            remote_id=dispute.id,
            kind=_kind_of(dispute, is_debit),
            state=state,
            remote_state=dispute.status,
            amount=Money(dispute.amount, dispute.currency.upper()),
            reason=dispute.reason,
            opened_at=clock.from_timestamp(dispute.created),
            closed_at=None if state is DisputeState.OPEN else self._closed_at(dispute),
            respond_by=clock.from_timestamp(due) if due else None,
            movements=tuple(
                sorted(
                    map(movement_from, dispute.balance_transactions),
                    key=lambda moved: (moved.moved_at, moved.transaction_id),
                )
            ),
        )

    def _closed_at(self, dispute: stripe.Dispute) -> Any:
        """Return when a dispute was last closed: only an event says so, and only for a month."""
        events = self._client.v1.events.list(
            {"type": _CLOSED, "created": {"gte": dispute.created}, "limit": 100}
        )
        closed = [
            event.created
            for event in events.auto_paging_iter()
            if event.data.object["id"] == dispute.id
        ]
        return clock.from_timestamp(max(closed)) if closed else None


def refund_params(payment_id: str, amount: Money, key: UUID) -> Any:
    """Return what Stripe wants to know to send money back.

    Our own reasons stay with us: Stripe's would block the card or speak to the donor.
    """
    return {
        "payment_intent": payment_id,
        "amount": amount.minor,
        "metadata": {"refund": str(key)},
    }


def movement_from(transaction: stripe.BalanceTransaction) -> Movement:
    """Translate a balance transaction."""
    currency = transaction.currency.upper()
    return Movement(
        transaction_id=transaction.id,
        amount=Money(transaction.amount, currency),
        fee=Money(transaction.fee, currency),
        moved_at=clock.from_timestamp(transaction.created),
    )


def _returned_from(refund: stripe.Refund, failure_movement: Movement | None) -> Returned:
    return Returned(
        remote_id=refund.id,
        amount=Money(refund.amount, refund.currency.upper()),
        state=REFUND_STATES.get(refund.status or "", RefundState.UNKNOWN),
        remote_state=str(refund.status),
        reason=refund.reason,
        failure=getattr(refund, "failure_reason", None),  # Left out unless it failed.
        key=_key_of(refund),
        created_at=clock.from_timestamp(refund.created),
        movement=expanded(refund.balance_transaction),
        failure_movement=failure_movement,
    )


def expanded(transaction: Any) -> Movement | None:
    """Translate a balance transaction if Stripe sent it whole; it may come later than its cause."""
    if not isinstance(transaction, stripe.BalanceTransaction):
        return None
    return movement_from(transaction)


def _key_of(refund: stripe.Refund) -> UUID | None:
    written = refund.metadata["refund"] if refund.metadata and "refund" in refund.metadata else ""
    try:
        return UUID(written)
    except ValueError:
        return None


def _kind_of(dispute: stripe.Dispute, is_debit: bool) -> DisputeKind:
    if dispute.status.startswith("warning"):
        return DisputeKind.INQUIRY
    return DisputeKind.BANK_RETURN if is_debit else DisputeKind.DISPUTE


def _is_debit(charge: stripe.Charge) -> bool:
    return charge.payment_method_details is not None and (
        charge.payment_method_details.type in _DEBITS
    )


def _bank_return(charge: stripe.Charge) -> Dispute:
    """Return a charge that failed after it had succeeded, as what it is: taken back by the bank."""
    movement = expanded(charge.failure_balance_transaction)
    moved_at = movement.moved_at if movement else clock.from_timestamp(charge.created)
    return Dispute(
        remote_id=charge.id,
        kind=DisputeKind.BANK_RETURN,
        state=DisputeState.LOST,
        remote_state=charge.status,
        amount=Money(
            charge.amount - charge.amount_refunded or charge.amount, charge.currency.upper()
        ),
        reason=charge.failure_code or "returned",
        opened_at=moved_at,
        closed_at=moved_at,
        respond_by=None,
        movements=(movement,) if movement else (),
    )


def _id_of(thing: Any) -> str | None:
    return thing if thing is None or isinstance(thing, str) else str(thing.id)
