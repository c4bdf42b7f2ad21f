"""Stripe's objects, translated into our own words.

This and ``stripe_gateway`` are the only places that know what Stripe's objects look like.
"""

from typing import Any

import stripe

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.gateway import (
    Checkout,
    CheckoutState,
    Fee,
    Invoice,
    Payment,
    PaymentState,
    Returned,
    Subscription,
)

_PAYMENT_STATES = {
    "succeeded": PaymentState.SUCCEEDED,
    "processing": PaymentState.PROCESSING,
    "requires_payment_method": PaymentState.OPEN,
    "requires_confirmation": PaymentState.OPEN,
    "requires_action": PaymentState.OPEN,
    "requires_capture": PaymentState.OPEN,
    "canceled": PaymentState.CANCELED,
}


def checkout_from(session: stripe.checkout.Session) -> Checkout:
    """Translate a Checkout Session."""
    known = {state.value: state for state in CheckoutState}
    return Checkout(
        remote_id=session.id,
        url=session.url,
        state=known.get(session.status or "", CheckoutState.UNKNOWN),
        monthly=session.mode == "subscription",
        reference=session.client_reference_id,
        paid=session.payment_status == "paid",
        payment_id=id_of(session.payment_intent),
        subscription_id=id_of(session.subscription),
        invoice_id=id_of(session.invoice),
        livemode=session.livemode,
    )


def payment_from(intent: stripe.PaymentIntent, refunds: tuple[Returned, ...]) -> Payment:
    """Translate a PaymentIntent with its latest charge, and the refunds of that."""
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    card = charge.payment_method_details.card if charge and charge.payment_method_details else None
    currency = intent.currency.upper()
    error = intent.last_payment_error
    return Payment(
        remote_id=intent.id,
        state=_PAYMENT_STATES.get(intent.status, PaymentState.UNKNOWN),
        remote_state=intent.status,
        amount=Money(intent.amount, currency),
        reference=_meta(intent.metadata, "gift"),
        charge_id=charge.id if charge else None,
        charged_at=clock.from_timestamp(charge.created) if charge else None,
        card_brand=card.brand if card else None,
        card_last4=card.last4 if card else None,
        failure=(error.decline_code or error.code) if error else None,
        fee=_fee(charge.balance_transaction) if charge else None,
        refunds=refunds,
        customer_id=id_of(intent.customer),
        livemode=intent.livemode,
    )


def returned_from(refund: stripe.Refund) -> Returned:
    """Translate a refund."""
    return Returned(
        remote_id=refund.id,
        amount=Money(refund.amount, refund.currency.upper()),
        reason=refund.reason,
        created_at=clock.from_timestamp(refund.created),
        fee=_fee(refund.balance_transaction),
    )


def _meta(metadata: Any, name: str) -> str | None:
    return metadata[name] if metadata is not None and name in metadata else None


def _fee(transaction: str | stripe.BalanceTransaction | None) -> Fee | None:
    """Return the fee once it is known; Stripe may tell it later than the movement."""
    if not isinstance(transaction, stripe.BalanceTransaction):
        return None
    currency = transaction.currency.upper()
    return Fee(
        transaction_id=transaction.id,
        fee=Money(transaction.fee, currency),
        gross=Money(transaction.amount, currency),
    )


def invoice_from(invoice: stripe.Invoice, payment_id: str | None) -> Invoice:
    """Translate an invoice that *payment_id* paid, or was last tried for."""
    details = invoice.parent.subscription_details if invoice.parent else None
    return Invoice(
        remote_id=str(invoice.id),
        paid=invoice.status == "paid" and invoice.amount_paid > 0,
        remote_state=str(invoice.status),
        amount=Money(invoice.amount_paid, invoice.currency.upper()),
        subscription_id=id_of(details.subscription) if details else None,
        reference=_meta(details.metadata, "recurring_gift") if details else None,
        payment_id=payment_id,
        livemode=invoice.livemode,
    )


def subscription_from(subscription: stripe.Subscription) -> Subscription:
    """Translate a subscription with its card."""
    item = subscription["items"].data[0]
    method = subscription.default_payment_method
    card = method.card if isinstance(method, stripe.PaymentMethod) else None
    price = item.price
    ended = subscription.status in {"canceled", "incomplete_expired"}
    return Subscription(
        remote_id=subscription.id,
        remote_state=subscription.status,
        paused=subscription.pause_collection is not None,
        amount=Money(price.unit_amount * (item.quantity or 1), price.currency.upper())
        if price.unit_amount is not None
        else None,
        reference=_meta(subscription.metadata, "recurring_gift"),
        next_at=None if ended else clock.from_timestamp(item.current_period_end),
        ended_at=clock.from_timestamp(subscription.ended_at) if subscription.ended_at else None,
        started_at=clock.from_timestamp(subscription.start_date),
        customer_id=id_of(subscription.customer),
        card_brand=card.brand if card else None,
        card_last4=card.last4 if card else None,
        livemode=subscription.livemode,
    )


def id_of(thing: Any) -> str | None:
    """Return the id of something that Stripe gives either as an id or expanded."""
    return thing if thing is None or isinstance(thing, str) else str(thing.id)
