"""What the product relies on Stripe to do; the same tests hold the sandbox to it.

Those that ask for `sandbox` walk the hosted page and run against the sandbox alone.
"""

import time
import uuid
from typing import Any

import pytest
import stripe
from stripe._object_classes import get_object_class

from donorportal.sandbox.typecheck import check_response
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import API_VERSION, checkout_params, open_session


def fresh() -> stripe.RequestOptions:
    """Return a new idempotency key."""
    return {"idempotency_key": str(uuid.uuid4())}


def violations(obj: stripe.StripeObject) -> list[str]:
    """Check an answer against the SDK's own class."""
    body = obj.to_dict(for_json=True)
    return check_response(get_object_class("V1", body["object"]), body)


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_checkout_opens(client: stripe.StripeClient, mode: str) -> None:
    """A session of either kind opens with a page, our reference and our metadata."""
    session = open_session(client, mode)

    assert violations(session) == []
    assert (session.status, session.payment_status, session.mode) == ("open", "unpaid", mode)
    assert session.url is not None
    assert session.client_reference_id == "gift-1"
    assert session.metadata is not None
    assert session.metadata.to_dict() == {"gift": "gift-1"}
    assert not session.livemode


def test_checkout_opens_for_a_card(client: stripe.StripeClient) -> None:
    """Setup mode takes a customer and a currency."""
    customer = client.v1.customers.create({"email": "donor@example.org"})
    session = open_session(client, "setup", customer=customer.id)

    assert violations(session) == []
    assert (session.mode, session.payment_status) == ("setup", "no_payment_required")


@pytest.mark.parametrize(
    ("mode", "change", "code"),
    [
        ("payment", {"payment_method_types": ["card"]}, "payment_method_types_no_longer_supported"),
        ("payment", {"no_such_parameter": "1"}, "parameter_unknown"),
        ("payment", {"expires_at": int(time.time()) + 60}, None),
        ("subscription", {"customer_creation": "always"}, None),
    ],
)
def test_checkout_refuses(
    client: stripe.StripeClient, mode: str, change: dict[str, Any], code: str | None
) -> None:
    """Parameters out of place are refused with 400 and a code where Stripe has one."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        open_session(client, mode, **change)
    assert refused.value.http_status == 400
    if code is not None:
        assert refused.value.code == code


def test_a_session_expires_once(client: stripe.StripeClient) -> None:
    """An open session can be expired, an expired one cannot."""
    session = open_session(client)
    expired = client.v1.checkout.sessions.expire(session.id)

    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)


def test_keys_make_requests_idempotent(client: stripe.StripeClient) -> None:
    """One key is one session; with other parameters it is refused."""
    product = client.v1.products.create({"name": "Gift"})
    params, key = checkout_params(product.id), fresh()
    first = client.v1.checkout.sessions.create(params, key)
    again = client.v1.checkout.sessions.create(params, key)

    assert again.id == first.id
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.checkout.sessions.create(params | {"client_reference_id": "other"}, key)
    assert refused.value.http_status == 400


def test_customers_are_kept(client: stripe.StripeClient) -> None:
    """What was written is read, and metadata is merged."""
    made = client.v1.customers.create({"email": "a@example.org", "metadata": {"a": "1", "b": "2"}})
    client.v1.customers.update(made.id, {"name": "Sam", "metadata": {"b": ""}})
    read = client.v1.customers.retrieve(made.id)

    assert violations(read) == []
    assert (read.email, read.name) == ("a@example.org", "Sam")
    assert read.metadata is not None
    assert read.metadata.to_dict() == {"a": "1"}


def test_missing_objects(client: stripe.StripeClient) -> None:
    """What does not exist is `resource_missing`, 404."""
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.customers.retrieve("cus_doesnotexist")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_lists_have_cursors(client: stripe.StripeClient) -> None:
    """Pages join up without gaps, newest first."""
    made = [client.v1.customers.create({"name": str(n)}).id for n in range(3)][::-1]
    first = client.v1.customers.list({"limit": 2})
    second = client.v1.customers.list({"limit": 1, "starting_after": made[1]})

    assert [c.id for c in first.data] == made[:2]
    assert [c.id for c in second.data] == made[2:]
    assert first.has_more


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("checkout.sessions", {}),
        ("payment_intents", {}),
        ("setup_intents", {}),
        ("charges", {}),
        ("invoices", {"status": "open"}),
        ("subscriptions", {"status": "all"}),
        ("refunds", {}),
        ("disputes", {}),
        ("radar.early_fraud_warnings", {}),
        ("balance_transactions", {"type": "charge"}),
        ("payouts", {"status": "paid"}),
        ("events", {"delivery_success": False}),
    ],
)
def test_everything_can_be_walked(
    client: stripe.StripeClient, kind: str, more: dict[str, Any]
) -> None:
    """Each kind that moves money is listed by time of creation, page by page."""
    service: Any = client.v1
    for name in kind.split("."):
        service = getattr(service, name)
    now = int(time.time())
    recent = service.list({"created": {"gte": now - 86_400}, "limit": 3} | more)
    future = service.list({"created": {"gt": now + 86_400}, "limit": 3} | more)

    assert recent.object == "list"
    assert [problem for one in recent.data for problem in violations(one)] == []
    assert (future.data, future.has_more) == ([], False)


def test_endpoints_show_their_secret_once(client: stripe.StripeClient) -> None:
    """An endpoint is pinned to our version; its secret is in the first answer only."""
    made = client.v1.webhook_endpoints.create(
        {
            "url": "https://example.org/webhooks/stripe",
            "enabled_events": ["checkout.session.completed"],
            "api_version": "2026-10-28.endive",
        }
    )
    read = client.v1.webhook_endpoints.retrieve(made.id)
    client.v1.webhook_endpoints.delete(made.id)

    assert made.secret is not None
    assert made.api_version == API_VERSION
    assert getattr(read, "secret", None) is None


def test_events_carry_our_version(client: stripe.StripeClient) -> None:
    """A change makes an event which can be fetched again."""
    customer = client.v1.customers.create({"name": "Told"})
    for _ in range(50):
        found = client.v1.events.list({"type": "customer.created", "limit": 20}).data
        told = [e for e in found if e.data.object["id"] == customer.id]
        if told:
            break
        time.sleep(0.2)
    read = client.v1.events.retrieve(told[0].id)

    assert violations(read) == []
    assert (read.type, read.livemode) == ("customer.created", False)


def test_test_clocks_stand_still(client: stripe.StripeClient) -> None:
    """A clock is created at a moment, moved, and deleted with its customers."""
    start = int(time.time())
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": start})
    client.v1.customers.create({"test_clock": clock.id})
    client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": start + 86_400})
    for _ in range(100):
        moved = client.v1.test_helpers.test_clocks.retrieve(clock.id)
        if moved.status == "ready":
            break
        time.sleep(0.2)
    client.v1.test_helpers.test_clocks.delete(clock.id)

    assert (moved.status, moved.frozen_time) == ("ready", start + 86_400)


def test_a_paid_gift_shows_its_fee(client: stripe.StripeClient, sandbox: SandboxProcess) -> None:
    """Sandbox only: after the page, the payment expands down to the fee, and can be refunded."""
    session = open_session(client)
    assert session.url is not None
    sandbox.pay(session.url)
    done = client.v1.checkout.sessions.retrieve(session.id)
    assert isinstance(done.payment_intent, str)
    intent = client.v1.payment_intents.retrieve(
        done.payment_intent, {"expand": ["latest_charge.balance_transaction"]}
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    movement = intent.latest_charge.balance_transaction
    assert isinstance(movement, stripe.BalanceTransaction)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000}, fresh())

    assert violations(intent) == []
    assert movement.amount - movement.fee == movement.net
    assert (refund.status, refund.amount) == ("succeeded", 1000)


def test_a_monthly_gift_links_its_invoice(
    client: stripe.StripeClient, sandbox: SandboxProcess
) -> None:
    """Sandbox only: the subscription's metadata reaches each invoice, and its payment is found."""
    session = open_session(client, "subscription")
    assert session.url is not None
    sandbox.pay(session.url)
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert isinstance(done.subscription, stripe.Subscription)
    (invoice,) = client.v1.invoices.list({"subscription": done.subscription.id}).data
    (payment,) = client.v1.invoice_payments.list({"invoice": invoice.id}).data

    assert violations(done.subscription) == []
    assert violations(invoice) == []
    assert violations(payment) == []
    assert payment.payment.type == "payment_intent"
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.metadata is not None
    assert invoice.parent.subscription_details.metadata.to_dict() == {"recurring_gift": "rg-1"}


def test_money_that_does_not_stay_is_typed(
    client: stripe.StripeClient, sandbox: SandboxProcess
) -> None:
    """Sandbox only: failed refunds, partial disputes and warnings are as the SDK has them."""
    session = open_session(client)
    assert session.url is not None
    sandbox.pay(session.url)
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    charge = done.payment_intent.latest_charge
    assert isinstance(charge, str)
    refund = client.v1.refunds.create({"charge": charge, "amount": 500}, fresh())
    sandbox.post(f"refunds/{refund.id}/settle", outcome="failed")
    sandbox.post("fraud-warnings", charge=charge)
    sandbox.post("disputes", charge=charge, amount=900)
    (dispute,) = client.v1.disputes.list({"charge": charge}).data
    (warning,) = client.v1.radar.early_fraud_warnings.list({"charge": charge}).data
    failed = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})

    for found in (failed, dispute, warning, client.v1.disputes.retrieve(dispute.id)):
        assert violations(found) == []
    assert (failed.status, dispute.amount, dispute.status) == ("failed", 900, "needs_response")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge}, fresh())
    assert refused.value.code == "charge_disputed"
