"""Every kind of event the product may have to deal with really happens here."""

import stripe

from tests.sandbox.lives import everything
from tests.sandboxproc import SandboxProcess

EXPECTED = [
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.canceled",
    "charge.succeeded",
    "charge.failed",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "radar.early_fraud_warning.created",
    "customer.created",
    "customer.updated",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.updated",
    "invoice.voided",
    "invoice.upcoming",
    "invoice_payment.paid",
    "setup_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payout.paid",
    "payout.failed",
    "payout.reconciliation_completed",
]


def test_everything_happens(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A full life tells each kind of event at least once."""
    everything(sandbox, client)

    told = {event["type"] for event in sandbox.events()}
    assert sorted(set(EXPECTED) - told) == []
