"""Stripe's objects, translated into our own words.

This and ``stripe_gateway`` are the only places that know what Stripe's objects look like.
"""

from datetime import datetime
from typing import Any

import stripe

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.gateway import (
    Checkout,
    CheckoutState,
    DeclinedCharge,
    Invoice,
    Payment,
    PaymentState,
    Subscription,
)
from donorportal.payments.monthly import Card, CardSetUp
from donorportal.payments.returns import Dispute, Returned
from donorportal.payments.stripe_returns import expanded

GAVE_UP = "donorportal: no charge went through"
"""What we note on a subscription that we end after its last try; Stripe notes reasons itself."""

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


def payment_from(
    intent: stripe.PaymentIntent,
    refunds: tuple[Returned, ...],
    disputes: tuple[Dispute, ...],
) -> Payment:
    """Translate a PaymentIntent with its latest charge, and what went back of that."""
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    brand, last4 = _paid_with(charge)
    currency = intent.currency.upper()
    error = intent.last_payment_error
    return Payment(
        remote_id=intent.id,
        state=_PAYMENT_STATES.get(intent.status, PaymentState.UNKNOWN),
        remote_state=intent.status,
        amount=Money(intent.amount, currency),
        reference=meta_of(intent.metadata, "gift"),
        charge_id=charge.id if charge else None,
        charged_at=clock.from_timestamp(charge.created) if charge else None,
        card_brand=brand,
        card_last4=last4,
        card=_tried_card(charge),
        failure=(getattr(error, "decline_code", None) or error.code) if error else None,
        fee=expanded(charge.balance_transaction) if charge else None,
        refunds=refunds,
        disputes=disputes,
        customer_id=id_of(intent.customer),
        livemode=intent.livemode,
    )


def declined_from(charge: stripe.Charge) -> DeclinedCharge | None:
    """Translate a charge that failed; None for one that did not."""
    # One that the bank took back after it had succeeded was not declined.
    if charge.status != "failed" or charge.failure_balance_transaction is not None:
        return None
    card = _card_of(charge)
    return DeclinedCharge(
        charge_id=charge.id,
        at=clock.from_timestamp(charge.created),
        reason=(charge.outcome.reason if charge.outcome else None) or charge.failure_code,
        card=card.fingerprint if card else None,
        email=charge.billing_details.email,
    )


def _card_of(charge: stripe.Charge | None) -> Any:
    """Return the card of a charge; Stripe leaves it out of the details of other methods."""
    return getattr(charge.payment_method_details, "card", None) if charge else None


def _paid_with(charge: stripe.Charge | None) -> tuple[str | None, str | None]:
    """Return the brand and the last digits of the card, or those of the bank account."""
    details: Any = charge.payment_method_details if charge else None
    if details is None:
        return None, None
    used = getattr(details, details.type, None)
    brand = used.brand if details.type == "card" and used else "bank account"
    return brand, getattr(used, "last4", None)


def meta_of(metadata: Any, name: str) -> str | None:
    """Return what we noted on an object under *name*."""
    return metadata[name] if metadata is not None and name in metadata else None


def invoice_from(invoice: stripe.Invoice, payment_id: str | None) -> Invoice:
    """Translate an invoice that *payment_id* paid, or was last tried for."""
    details = invoice.parent.subscription_details if invoice.parent else None
    return Invoice(
        remote_id=str(invoice.id),
        paid=invoice.status == "paid" and invoice.amount_paid > 0,
        drawn_up_at=clock.from_timestamp(invoice.created),
        left_out=invoice.status == "void" and not invoice.attempted,
        remote_state=str(invoice.status),
        amount=Money(invoice.amount_paid, invoice.currency.upper()),
        subscription_id=id_of(details.subscription) if details else None,
        reference=meta_of(details.metadata, "recurring_gift") if details else None,
        payment_id=payment_id,
        due=Money(invoice.amount_due, invoice.currency.upper()),
        tries=invoice.attempt_count,
        next_try_at=_instant(invoice.next_payment_attempt),
        is_retried=bool(invoice.auto_advance),
        pay_url=invoice.hosted_invoice_url,
        livemode=invoice.livemode,
    )


def subscription_from(subscription: stripe.Subscription) -> Subscription:
    """Translate a subscription with its card."""
    item = subscription["items"].data[0]
    method = subscription.default_payment_method
    price = item.price
    ended = subscription.status in {"canceled", "incomplete_expired"}
    pause = subscription.pause_collection
    return Subscription(
        remote_id=subscription.id,
        remote_state=subscription.status,
        paused=pause is not None,
        resumes_at=clock.from_timestamp(pause.resumes_at) if pause and pause.resumes_at else None,
        amount=Money(price.unit_amount * (item.quantity or 1), price.currency.upper())
        if price.unit_amount is not None
        else None,
        reference=meta_of(subscription.metadata, "recurring_gift"),
        next_at=None if ended else clock.from_timestamp(item.current_period_end),
        ended_at=clock.from_timestamp(subscription.ended_at) if subscription.ended_at else None,
        started_at=clock.from_timestamp(subscription.start_date),
        customer_id=id_of(subscription.customer),
        payment_method_id=id_of(method),
        card=card_from(method) if isinstance(method, stripe.PaymentMethod) else None,
        latest_invoice_id=id_of(subscription.latest_invoice),
        gave_up=subscription.status == "canceled" and _no_charge_went_through(subscription),
        livemode=subscription.livemode,
    )


def card_set_up_from(intent: stripe.SetupIntent) -> CardSetUp:
    """Translate a SetupIntent: a card that was left on a page for it."""
    return CardSetUp(
        remote_id=intent.id,
        is_complete=intent.status == "succeeded",
        payment_method_id=id_of(intent.payment_method),
        subscription_id=meta_of(intent.metadata, "subscription_id"),
        reference=meta_of(intent.metadata, "recurring_gift"),
        actor=meta_of(intent.metadata, "actor"),
        livemode=intent.livemode,
    )


def card_from(method: stripe.PaymentMethod) -> Card | None:
    """Translate a saved card; None for a bank account and the like."""
    card: Any = getattr(method, "card", None)  # Stripe leaves it out of what is no card.
    if card is None:
        return None
    return Card(
        remote_id=method.id,
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        livemode=method.livemode,
    )


def _tried_card(charge: stripe.Charge | None) -> Card | None:
    """Return the card of a charge with the expiry that it had then."""
    card = _card_of(charge)
    if charge is None or card is None or charge.payment_method is None:
        return None
    return Card(
        remote_id=charge.payment_method,
        brand=card.brand or "",
        last4=card.last4 or "",
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        livemode=charge.livemode,
    )


def _no_charge_went_through(subscription: stripe.Subscription) -> bool:
    details = subscription.cancellation_details
    if details is None:
        return False
    return details.reason == "payment_failed" or details.comment == GAVE_UP


def _instant(seconds: int | None) -> datetime | None:
    return clock.from_timestamp(seconds) if seconds else None


def id_of(thing: Any) -> str | None:
    """Return the id of something that Stripe gives either as an id or expanded."""
    return thing if thing is None or isinstance(thing, str) else str(thing.id)
