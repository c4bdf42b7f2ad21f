"""The hosted page: what a donor can do there, and what Stripe then says."""

import time
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.lives import charge_of, give_monthly, give_once, save_card
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import HOME, checkout_params, open_session


def url_of(session: stripe.checkout.Session) -> str:
    """Return the address of an open session's page."""
    assert session.url is not None
    return session.url


def read(client: stripe.StripeClient, session: stripe.checkout.Session) -> stripe.checkout.Session:
    """Return the session as it is now."""
    return client.v1.checkout.sessions.retrieve(session.id)


def test_a_gift_is_paid(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Paying completes the session, tells everybody, and leads back to us with a 303."""
    session = open_session(client, customer_email="donor@example.org")
    answer = sandbox.pay(url_of(session), email="someone-else@example.org")
    done = read(client, session)
    charge = charge_of(client, done)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{HOME}/give/thanks?cs={session.id}"
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.customer_details is not None
    assert done.customer_details.email == "donor@example.org"
    assert (charge.amount, charge.currency, charge.paid) == (2500, "gbp", True)
    assert charge.metadata.to_dict() == {"gift": "gift-1"}
    assert [e["type"] for e in sandbox.events() if not e["type"].startswith("product")] == [
        "customer.created",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_a_monthly_gift_begins(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A subscription is active, its first invoice paid, our metadata on both."""
    subscription = give_monthly(sandbox, client)
    assert isinstance(subscription.latest_invoice, str)
    invoice = client.v1.invoices.retrieve(subscription.latest_invoice, {"expand": ["payments"]})
    item = subscription["items"].data[0]

    assert subscription.status == "active"
    assert subscription.metadata.to_dict() == {"recurring_gift": "rg-1"}
    assert item.price.unit_amount == 1500
    assert 28 <= (item.current_period_end - item.current_period_start) / 86_400 <= 31
    assert (invoice.status, invoice.amount_paid) == ("paid", 1500)
    assert invoice.billing_reason == "subscription_create"
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata is not None
    assert invoice.parent.subscription_details.metadata.to_dict() == {"recurring_gift": "rg-1"}
    assert invoice.payments is not None
    intent = invoice.payments.data[0].payment.payment_intent
    assert isinstance(intent, str)
    back = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent}}
    )
    assert [p.invoice for p in back.data] == [invoice.id]


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000000069", "expired_card", None),
    ],
)
def test_a_declined_card_leaves_the_page_open(
    sandbox: SandboxProcess,
    client: stripe.StripeClient,
    card: str,
    code: str,
    decline_code: str | None,
) -> None:
    """The donor sees why and may try another card; the failure is told with its code."""
    session = open_session(client)
    refused = sandbox.pay(url_of(session), card)
    (failed,) = sandbox.events("payment_intent.payment_failed")
    error = failed["data"]["object"]["last_payment_error"]

    assert refused.status_code == 402
    assert error["message"] in refused.text.replace("&#39;", "'")
    assert (error["code"], error.get("decline_code")) == (code, decline_code)
    assert len(sandbox.events("charge.failed")) == 1
    assert read(client, session).status == "open"
    assert sandbox.pay(url_of(session)).status_code == 303
    assert len(client.v1.payment_intents.list().data) == 1


def test_the_next_card_can_be_made_to_fail(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A knob declines the next charge whatever its card, once."""
    session = open_session(client)
    sandbox.post("next-card", outcome="insufficient_funds")

    assert [sandbox.pay(url_of(session)).status_code for _ in range(2)] == [402, 303]


def test_three_d_secure(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """The bank's page comes between; failing it leads back to the form, completing it pays."""
    session = open_session(client)
    card = "4000002500003155"
    page = sandbox.pay(url_of(session), card, authenticate="")
    waiting = client.v1.payment_intents.list().data[0]
    refused = sandbox.pay(url_of(session), card, authenticate="fail")
    done = sandbox.pay(url_of(session), card, authenticate="complete")

    assert page.headers["Location"].endswith("/3ds")
    assert waiting.status == "requires_action"
    assert refused.status_code == 402
    assert "unable to authenticate" in refused.text
    assert done.status_code == 303
    assert read(client, session).payment_status == "paid"


def test_a_card_is_saved(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Setup mode attaches a card to the customer without charging it."""
    customer = client.v1.customers.create({"email": "donor@example.org"})
    method = save_card(sandbox, client, customer.id, "4000000000000341")
    saved = client.v1.payment_methods.retrieve(method)

    assert saved.customer == customer.id
    assert saved.card is not None
    assert saved.card.last4 == "0341"
    assert client.v1.charges.list().data == []
    (told,) = sandbox.events("setup_intent.succeeded")
    assert told["data"]["object"]["metadata"] == {"subscription_id": "s"}


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_bank_debits_settle_later(
    sandbox: SandboxProcess, client: stripe.StripeClient, outcome: str
) -> None:
    """A debit completes unpaid; days later it arrives or bounces."""
    session = open_session(client, allowed_payment_method_types=["card", "bacs_debit"])
    sandbox.pay(url_of(session), method="bacs_debit")
    pledged = read(client, session)
    sandbox.post("async", payment_intent=pledged.payment_intent, outcome=outcome)
    settled = read(client, session)

    assert (pledged.status, pledged.payment_status) == ("complete", "unpaid")
    assert settled.payment_status == ("paid" if outcome == "succeeded" else "unpaid")
    assert len(sandbox.events(f"checkout.session.async_payment_{outcome}")) == 1


def test_bank_debits_settle_by_themselves(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Without anybody's doing a debit arrives after four days."""
    session = open_session(client, allowed_payment_method_types=["us_bank_account"])
    sandbox.pay(url_of(session), method="us_bank_account")
    sandbox.advance(days=3)
    before = read(client, session).payment_status
    sandbox.advance(days=2)

    assert (before, read(client, session).payment_status) == ("unpaid", "paid")


def test_monthly_by_bank_debit(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """The first invoice of a debited subscription is paid when the money arrives."""
    session = open_session(
        client, "subscription", allowed_payment_method_types=["card", "sepa_debit"]
    )
    sandbox.pay(url_of(session), method="sepa_debit")
    done = read(client, session)
    assert isinstance(done.invoice, str)
    before = client.v1.invoices.retrieve(done.invoice).status
    sandbox.advance(days=5)

    assert (before, client.v1.invoices.retrieve(done.invoice).status) == ("open", "paid")


def test_a_session_expires(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """By itself when its time is over, after which nothing can be paid."""
    session = open_session(client)
    page = url_of(session)
    sandbox.advance(seconds=36 * 60)

    assert read(client, session).status == "expired"
    assert len(sandbox.events("checkout.session.expired")) == 1
    assert sandbox.pay(page).status_code == 410


def test_a_session_is_expired_by_us(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Only while it is open: afterwards the refusal says what happened instead."""
    open_one = open_session(client)
    expired = client.v1.checkout.sessions.expire(open_one.id)
    paid = give_once(sandbox, client)

    assert expired.status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of complete"):
        client.v1.checkout.sessions.expire(paid.id)


def test_expiry_is_measured_by_the_callers_clock(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """After the sandbox's time was advanced a product with real time can still open a page."""
    sandbox.advance(days=400)
    session = open_session(client)

    assert session.status == "open"
    assert sandbox.pay(url_of(session)).status_code == 303


def test_paying_twice_pays_once(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A second press of the button on a completed page charges nothing."""
    session = open_session(client)
    answers = [sandbox.pay(url_of(session)).status_code for _ in range(2)]

    assert answers == [303, 410]
    assert len(client.v1.charges.list().data) == 1


@pytest.mark.parametrize(
    ("mode", "more", "words"),
    [
        ("subscription", {"customer_creation": "always"}, "customer_creation"),
        ("payment", {"subscription_data": {"metadata": {"a": "1"}}}, "subscription_data"),
        ("payment", {"expires_at": 1}, "between 30 minutes and 24 hours"),
        ("payment", {"expires_at": int(time.time()) + 90_000}, "between 30 minutes and 24 hours"),
        ("payment", {"ui_mode": "embedded_page"}, "hosted page only"),
        ("payment", {"customer": "cus_x", "customer_email": "a@example.org"}, "only specify one"),
    ],
)
def test_what_checkout_refuses(
    client: stripe.StripeClient, mode: str, more: dict[str, Any], words: str
) -> None:
    """Combinations that Stripe refuses are refused."""
    with pytest.raises(stripe.InvalidRequestError, match=words):
        open_session(client, mode, **more)


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ({"currency": "gbp", "unit_amount": 49}, "below the smallest"),
        ({"currency": "gbp", "unit_amount": -5}, "non-negative"),
        ({"currency": "xxx", "unit_amount": 500}, "Invalid currency"),
        (
            {"currency": "gbp", "unit_amount": 500, "recurring": {"interval": "month"}},
            "Monthly gifts need",
        ),
    ],
)
def test_prices_that_are_refused(
    client: stripe.StripeClient, price: dict[str, Any], words: str
) -> None:
    """Too little, negative, in no currency, or monthly where it is not."""
    product = client.v1.products.create({"name": "Gift"})
    lines = [{"quantity": 1, "price_data": price | {"product": product.id}}]

    with pytest.raises(stripe.InvalidRequestError, match=words):
        client.v1.checkout.sessions.create(checkout_params(product.id, line_items=lines))


def test_yen_have_no_minor_unit(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """5,000 yen are 5000, and the page says so."""
    product = client.v1.products.create({"name": "Gift"})
    price = {"currency": "jpy", "unit_amount": 5000, "product": product.id}
    params = checkout_params(product.id, line_items=[{"quantity": 1, "price_data": price}])
    session = client.v1.checkout.sessions.create(params)
    page = requests.get(url_of(session), timeout=10)

    assert "¥5,000" in page.text
    assert "Donate ¥5,000" in page.text


def test_the_page_is_plain_and_locked_down(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """No script, no inline style, the e-mail fixed, and only our own site as a form's target."""
    session = open_session(client, customer_email="donor@example.org")
    page = requests.get(url_of(session), timeout=10)

    assert "no money moves" in page.text
    assert "<script" not in page.text
    assert " style=" not in page.text
    assert 'value="donor@example.org"' in page.text
    assert f"form-action 'self' {HOME}" in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("number", "4111111111111111", "only its test cards"),
        ("expiry", "soon", "expiration date is incomplete"),
        ("method", "bacs_debit", "Choose one of the ways"),
        ("email", "", "Enter an email"),
    ],
)
def test_mistakes_on_the_page(
    sandbox: SandboxProcess, client: stripe.StripeClient, field: str, value: str, words: str
) -> None:
    """A mistake is named, nothing is charged, and the session stays open."""
    session = open_session(client)
    form = {"email": "a@example.org", "number": "4242424242424242", "expiry": "12/34"}
    answer = requests.post(url_of(session), data=form | {field: value}, timeout=10)

    assert answer.status_code == 402
    assert words in answer.text
    assert read(client, session).status == "open"
    assert client.v1.charges.list().data == []


def test_an_unknown_page_is_not_found(sandbox: SandboxProcess) -> None:
    """A made-up address has no page."""
    assert requests.get(f"{sandbox.url}/c/pay/cs_test_none", timeout=10).status_code == 404
