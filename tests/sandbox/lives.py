"""Scenarios: whole lives of gifts, in a few lines each."""

from typing import Any

import stripe

from tests.sandboxproc import SandboxProcess
from tests.stripeparams import open_session

DAY = 86_400


def give_once(
    sandbox: SandboxProcess, client: stripe.StripeClient, **more: Any
) -> stripe.checkout.Session:
    """Give 25.00 GBP once and return the completed session."""
    session = open_session(client, **more)
    assert session.url is not None
    answer = sandbox.pay(session.url)
    assert answer.status_code == 303, answer.text
    return client.v1.checkout.sessions.retrieve(session.id)


def give_monthly(
    sandbox: SandboxProcess,
    client: stripe.StripeClient,
    card: str = "4242424242424242",
    **more: Any,
) -> stripe.Subscription:
    """Begin to give 15.00 GBP a month and return the subscription."""
    session = open_session(client, "subscription", **more)
    assert session.url is not None
    answer = sandbox.pay(session.url, card)
    assert answer.status_code == 303, answer.text
    session = client.v1.checkout.sessions.retrieve(session.id)
    assert isinstance(session.subscription, str)
    return client.v1.subscriptions.retrieve(session.subscription)


def save_card(
    sandbox: SandboxProcess, client: stripe.StripeClient, customer: str, card: str
) -> str:
    """Save a card for a customer through Checkout and return the payment method's id."""
    session = open_session(client, "setup", customer=customer)
    assert session.url is not None
    answer = sandbox.pay(session.url, card)
    assert answer.status_code == 303, answer.text
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert isinstance(done.setup_intent, stripe.SetupIntent)
    assert isinstance(done.setup_intent.payment_method, str)
    return done.setup_intent.payment_method


def charge_of(client: stripe.StripeClient, session: stripe.checkout.Session) -> stripe.Charge:
    """Return the charge that paid a session."""
    assert isinstance(session.payment_intent, str)
    intent = client.v1.payment_intents.retrieve(
        session.payment_intent, {"expand": ["latest_charge"]}
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    return intent.latest_charge


def invoices_of(client: stripe.StripeClient, subscription: str) -> list[stripe.Invoice]:
    """Return a subscription's invoices, newest first."""
    return list(client.v1.invoices.list({"subscription": subscription, "limit": 100}).data)


def everything(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Live through everything the sandbox can do, so that each kind of event has happened."""
    client.v1.customers.create(
        {"email": "a@example.org", "name": "A", "address": {"country": "GB", "line1": "1 High St"}}
    )
    once = give_once(sandbox, client)
    charge = charge_of(client, once)
    client.v1.refunds.create({"charge": charge.id, "amount": 500}, {})
    sandbox.knobs(refund_outcome="failed", early_fraud_warning=True, balance_pending=True)
    second = charge_of(client, give_once(sandbox, client))
    client.v1.refunds.create({"charge": second.id}, {})
    sandbox.advance(days=6)
    sandbox.knobs(refund_outcome="succeeded", early_fraud_warning=False, balance_pending=False)
    _debits(sandbox, client)
    for outcome in ("won", "lost"):
        disputed = charge_of(client, give_once(sandbox, client))
        dispute = sandbox.post("disputes", charge=disputed.id)
        sandbox.post(f"disputes/{dispute['id']}/close", status=outcome)
    inquired = charge_of(client, give_once(sandbox, client))
    inquiry = sandbox.post("disputes", charge=inquired.id, warning=True)
    sandbox.post(f"disputes/{inquiry['id']}/close", status="warning_closed")
    _late_troubles(sandbox, client)
    sandbox.post("payouts")
    give_once(sandbox, client)
    sandbox.post("payouts", fails=True)
    sandbox.post("payouts", stays=True)
    _declines(sandbox, client)
    _monthly(sandbox, client)
    _ends_in_arrears(sandbox, client)
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    client.v1.customers.create({"email": "b@example.org", "test_clock": clock.id})
    client.v1.test_helpers.test_clocks.delete(clock.id)


def _debits(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    for kind in ("us_bank_account", "bacs_debit", "sepa_debit"):
        session = open_session(client, allowed_payment_method_types=["card", kind])
        assert session.url is not None
        sandbox.pay(session.url, method=kind)
        done = client.v1.checkout.sessions.retrieve(session.id)
        outcome = "failed" if kind == "sepa_debit" else "succeeded"
        sandbox.post("async", payment_intent=done.payment_intent, outcome=outcome)
    open_session(client)
    sandbox.advance(days=2)


def _late_troubles(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    charge = charge_of(client, give_once(sandbox, client))
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 700})
    sandbox.post(f"refunds/{refund.id}/settle", outcome="failed")
    sandbox.post("fraud-warnings", charge=charge.id)
    dispute = sandbox.post("disputes", charge=charge.id, amount=900, reason="duplicate")
    sandbox.post(f"disputes/{dispute['id']}/close", status="won", amount=500)
    sandbox.knobs(balance_currency="usd", exchange_millionths=1_234_567)
    for how in ("dispute", "failure"):
        session = open_session(client, allowed_payment_method_types=["card", "bacs_debit"])
        assert session.url is not None
        sandbox.pay(session.url, method="bacs_debit")
        done = client.v1.checkout.sessions.retrieve(session.id)
        sandbox.post("async", payment_intent=done.payment_intent, outcome="succeeded")
        sandbox.post("returns", charge=charge_of(client, done).id, how=how)
    sandbox.knobs(balance_currency=None)


def _declines(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    session = open_session(client)
    assert session.url is not None
    for card in ("4000000000000002", "4000000000009995", "4000000000000069"):
        assert sandbox.pay(session.url, card).status_code == 402
    for authenticate in ("fail", "complete"):
        sandbox.pay(session.url, "4000002500003155", authenticate=authenticate)
    given_up = open_session(client)
    assert given_up.url is not None
    sandbox.pay(given_up.url, "4000000000000002")
    client.v1.checkout.sessions.expire(given_up.id)


def _monthly(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    subscription = give_monthly(sandbox, client)
    assert isinstance(subscription.customer, str)
    item = subscription["items"].data[0]
    price: Any = {
        "currency": "gbp",
        "unit_amount": 2000,
        "product": item.price.product,
        "recurring": {"interval": "month"},
    }
    client.v1.subscriptions.update(
        subscription.id,
        {"items": [{"id": item.id, "price_data": price}], "proration_behavior": "none"},
    )
    sandbox.advance(days=31)
    sandbox.knobs(dunning_end="past_due")
    bad = save_card(sandbox, client, subscription.customer, "4000000000000341")
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": bad})
    sandbox.advance(days=31)
    invoice = invoices_of(client, subscription.id)[0]
    client.v1.invoices.void_invoice(invoice.id)
    good = save_card(sandbox, client, subscription.customer, "4242424242424242")
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": good})
    client.v1.subscriptions.update(
        subscription.id,
        {"pause_collection": {"behavior": "void", "resumes_at": _later(subscription, 120)}},
    )
    sandbox.advance(days=62)
    client.v1.subscriptions.pause(
        subscription.id, {"bill_for": {"unused_time_from": {"type": "none"}}}
    )
    client.v1.subscriptions.resume(
        subscription.id,
        {"billing_cycle_anchor": {"type": "unchanged"}, "proration_behavior": "none"},
    )
    asking = save_card(sandbox, client, subscription.customer, "4000002500003155")
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": asking})
    client.v1.invoices.create_preview({"subscription": subscription.id})
    sandbox.knobs(next_card="authentication_required")
    sandbox.advance(days=75)
    sandbox.post("card-renewals", payment_method=asking, year=2040)
    client.v1.customers.update(subscription.customer, {"name": "Renamed"})
    client.v1.subscriptions.cancel(subscription.id)
    for method in client.v1.payment_methods.list({"customer": subscription.customer}).data[:1]:
        client.v1.payment_methods.detach(method.id)


def _ends_in_arrears(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    subscription = give_monthly(sandbox, client)
    card = subscription.default_payment_method
    sandbox.post("card-outcomes", payment_method=card, outcome="do_not_honor")
    sandbox.advance(days=32)
    client.v1.subscriptions.cancel(subscription.id)


def _later(subscription: stripe.Subscription, days: int) -> int:
    return int(subscription.start_date) + days * DAY
