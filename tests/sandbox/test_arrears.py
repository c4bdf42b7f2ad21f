"""Monthly gifts in trouble: cards that fail in every way, ends with open invoices, previews."""

import pytest
import requests
import stripe

from tests.sandbox.lives import DAY, give_monthly, invoices_of
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import open_session


def card_of(subscription: stripe.Subscription) -> str:
    """Return the id of the card that a subscription is charged to."""
    assert isinstance(subscription.default_payment_method, str)
    return subscription.default_payment_method


def failure_of(client: stripe.StripeClient, invoice: stripe.Invoice) -> tuple[str, str | None]:
    """Return code and decline code of an invoice's last failed attempt."""
    (paid,) = client.v1.invoice_payments.list({"invoice": invoice.id}).data
    assert isinstance(paid.payment.payment_intent, str)
    error = client.v1.payment_intents.retrieve(paid.payment.payment_intent).last_payment_error
    assert error is not None
    return str(error.code), getattr(error, "decline_code", None)


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        ("insufficient_funds", ("card_declined", "insufficient_funds")),
        ("do_not_honor", ("card_declined", "do_not_honor")),
        ("stolen_card", ("card_declined", "stolen_card")),
        ("expired_card", ("expired_card", None)),
        ("processing_error", ("processing_error", None)),
    ],
)
def test_a_card_fails_from_now_on(
    sandbox: SandboxProcess,
    client: stripe.StripeClient,
    outcome: str,
    failure: tuple[str, str | None],
) -> None:
    """A saved card fails at every charge in the way chosen for it, until it may succeed again."""
    subscription = give_monthly(sandbox, client)
    sandbox.post("card-outcomes", payment_method=card_of(subscription), outcome=outcome)
    sandbox.advance(days=36)
    failed = invoices_of(client, subscription.id)[0]
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(failed.id)
    why = failure_of(client, failed)
    sandbox.post("card-outcomes", payment_method=card_of(subscription), outcome=None)
    paid = client.v1.invoices.pay(failed.id)

    assert (failed.attempt_count, why) == (2, failure)
    assert paid.status == "paid"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_unknown_outcomes_are_refused(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A card cannot be made to fail in a way which no card has."""
    subscription = give_monthly(sandbox, client)
    answer = requests.post(
        f"{sandbox.url}/_sandbox/card-outcomes",
        json={"payment_method": card_of(subscription), "outcome": "eaten_by_dog"},
        timeout=10,
    )

    assert answer.status_code == 400


def test_open_invoices_of_an_ended_gift_are_left_alone(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Cancelling stops the collection of what is open; it can still be paid on purpose."""
    subscription = give_monthly(sandbox, client)
    sandbox.post("card-outcomes", payment_method=card_of(subscription), outcome="do_not_honor")
    sandbox.advance(days=32)
    due = invoices_of(client, subscription.id)[0]
    client.v1.subscriptions.cancel(
        subscription.id, {"cancellation_details": {"feedback": "too_expensive"}}
    )
    sandbox.post("card-outcomes", payment_method=card_of(subscription), outcome=None)
    sandbox.advance(days=30)
    left = client.v1.invoices.retrieve(due.id)

    assert (due.auto_advance, left.auto_advance) == (True, False)
    assert due.next_payment_attempt is not None
    assert (left.status, left.next_payment_attempt, left.attempt_count) == ("open", None, 1)
    assert len(sandbox.events("invoice.updated")) == 1
    assert len(sandbox.events("charge.failed")) == 1
    assert client.v1.invoices.pay(due.id).status == "paid"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_what_is_over_has_no_preview(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Stripe announces nothing for a gift that ends with its month, or is paused."""
    ending, paused = give_monthly(sandbox, client), give_monthly(sandbox, client)
    client.v1.subscriptions.update(ending.id, {"cancel_at_period_end": True})
    client.v1.subscriptions.pause(paused.id, {"bill_for": {"unused_time_from": {"type": "none"}}})

    for subscription in (ending, paused):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.invoices.create_preview({"subscription": subscription.id})
        assert refused.value.code == "invoice_upcoming_none"


def test_a_moved_day_is_previewed(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """The preview of another day shows that day, and the month after it."""
    subscription = give_monthly(sandbox, client)
    day = int(subscription.created) + 45 * DAY
    preview = client.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": {"trial_end": day, "proration_behavior": "none"},
        }
    )

    period = preview.lines.data[0].period
    assert period.start == day
    assert 27 * DAY < period.end - day < 32 * DAY
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_an_expired_session_cancels_its_payment(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A page that was tried and closed leaves a cancelled PaymentIntent, an untried one none."""
    tried, stopped, untried = open_session(client), open_session(client), open_session(client)
    assert tried.url is not None
    assert stopped.url is not None
    sandbox.pay(tried.url, "4000000000000002")
    sandbox.pay(stopped.url, "4000002500003155", authenticate="")
    for session in (tried, stopped, untried):
        client.v1.checkout.sessions.expire(session.id)
    intents = client.v1.payment_intents.list().data

    assert [i.status for i in intents] == ["canceled", "canceled"]
    assert [i.cancellation_reason for i in intents] == ["expired", "expired"]
    assert [i.next_action for i in intents] == [None, None]
    assert len(sandbox.events("payment_intent.canceled")) == 2
    assert sandbox.pay(tried.url).status_code == 410


def test_an_expiry_by_time_cancels_the_payment_too(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """It is the same whether we close the page or its time runs out, once or monthly."""
    for mode in ("payment", "subscription"):
        session = open_session(client, mode)
        assert session.url is not None
        sandbox.pay(session.url, "4000000000000002")
    sandbox.advance(days=1)

    assert {i.status for i in client.v1.payment_intents.list().data} == {"canceled"}
    assert len(sandbox.events("payment_intent.canceled")) == 2


def test_saved_cards_show_their_expiry(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """What was typed is what is read; the bank may replace expiry and number."""
    customer = client.v1.customers.create({"email": "a@example.org"})
    session = open_session(client, "setup", customer=customer.id)
    assert session.url is not None
    sandbox.pay(session.url, expiry="02 / 27")
    (intent,) = client.v1.setup_intents.list({"customer": customer.id}).data
    assert isinstance(intent.payment_method, str)
    typed = client.v1.payment_methods.retrieve(intent.payment_method).card
    sandbox.post(
        "card-renewals", payment_method=intent.payment_method, year=2031, month=3, last4="77"
    )
    renewed = client.v1.payment_methods.retrieve(intent.payment_method).card
    (told,) = sandbox.events("payment_method.automatically_updated")

    assert intent.metadata is not None
    assert intent.metadata.to_dict() == {"subscription_id": "s"}
    assert typed is not None
    assert renewed is not None
    assert (typed.exp_month, typed.exp_year) == (2, 2027)
    assert (renewed.exp_month, renewed.exp_year, renewed.last4) == (3, 2031, "0077")
    assert told["data"]["previous_attributes"] == {
        "card": {"exp_month": 2, "exp_year": 2027, "last4": "4242"}
    }
