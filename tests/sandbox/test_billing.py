"""Monthly gifts over time: renewals, failures, pauses, changes, ends."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.lives import DAY, give_monthly, invoices_of, save_card
from tests.sandboxproc import SandboxProcess, eventually
from tests.stripeparams import open_session


def read(client: stripe.StripeClient, subscription: stripe.Subscription) -> stripe.Subscription:
    """Return the subscription as it is now."""
    return client.v1.subscriptions.retrieve(subscription.id)


def statuses(client: stripe.StripeClient, subscription: stripe.Subscription) -> list[str | None]:
    """Return the states of a subscription's invoices, oldest first."""
    return [invoice.status for invoice in invoices_of(client, subscription.id)][::-1]


def use_card(
    sandbox: SandboxProcess,
    client: stripe.StripeClient,
    subscription: stripe.Subscription,
    card: str,
) -> None:
    """Give a subscription another card."""
    assert isinstance(subscription.customer, str)
    method = save_card(sandbox, client, subscription.customer, card)
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": method})


def amount_change(subscription: stripe.Subscription, amount: int, **more: Any) -> Any:
    """Return the parameters that change the monthly amount."""
    item = subscription["items"].data[0]
    price = {
        "currency": "gbp",
        "unit_amount": amount,
        "product": item.price.product,
        "recurring": {"interval": "month"},
    }
    items = [{"id": item.id, "price_data": price}]
    return {"items": items, "proration_behavior": "none"} | more


def test_gifts_renew(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Every month an invoice is drawn up, finalised an hour later, and paid."""
    subscription = give_monthly(sandbox, client)
    first_end = subscription["items"].data[0].current_period_end
    sandbox.advance(to=first_end)
    drafted = statuses(client, subscription)
    sandbox.advance(seconds=3600)
    paid = statuses(client, subscription)
    sandbox.advance(days=62)

    assert drafted == ["paid", "draft"]
    assert paid == ["paid", "paid"]
    assert statuses(client, subscription) == ["paid"] * 4
    assert read(client, subscription)["items"].data[0].current_period_start > first_end
    newest = invoices_of(client, subscription.id)[0]
    assert newest.billing_reason == "subscription_cycle"
    assert read(client, subscription).latest_invoice == newest.id


def test_renewals_are_announced(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A week before the next gift `invoice.upcoming` tells the amount, and stores nothing."""
    subscription = give_monthly(sandbox, client)
    sandbox.advance(to=subscription["items"].data[0].current_period_end - 6 * DAY)
    (told,) = sandbox.events("invoice.upcoming")

    assert told["data"]["object"]["amount_due"] == 1500
    assert statuses(client, subscription) == ["paid"]


def test_the_last_of_the_month(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A gift of the 31st comes on the last day of shorter months and on the 31st again."""
    start = int(datetime(2028, 1, 31, 12, tzinfo=UTC).timestamp())
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": start})
    customer = client.v1.customers.create({"test_clock": clock.id, "email": "a@example.org"})
    subscription = give_monthly(sandbox, client, customer=customer.id)
    days = []
    for _ in range(3):
        end = read(client, subscription)["items"].data[0].current_period_end
        days.append(datetime.fromtimestamp(end, UTC).date().isoformat())
        client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": end + 3700})
        eventually(lambda: client.v1.test_helpers.test_clocks.retrieve(clock.id).status == "ready")

    assert days == ["2028-02-29", "2028-03-31", "2028-04-30"]
    assert statuses(client, subscription) == ["paid"] * 4


def test_a_test_clock_moves_alone(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Advancing one clock leaves everybody else's time as it is."""
    other = give_monthly(sandbox, client)
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": int(other.created)})
    customer = client.v1.customers.create({"test_clock": clock.id, "email": "a@example.org"})
    subscription = give_monthly(sandbox, client, customer=customer.id)
    sandbox.post("advance", days=40, clock=clock.id)

    assert statuses(client, subscription) == ["paid", "paid"]
    assert statuses(client, other) == ["paid"]


def test_dunning_ends_in_cancellation(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A card that fails is retried on schedule; then the gift ends for want of payment."""
    subscription = give_monthly(sandbox, client)
    use_card(sandbox, client, subscription, "4000000000000341")
    sandbox.advance(to=subscription["items"].data[0].current_period_end + 3600)
    due = read(client, subscription)
    invoice = invoices_of(client, subscription.id)[0]
    sandbox.advance(days=16)
    ended = read(client, subscription)

    assert due.status == "past_due"
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt is not None
    assert len(sandbox.events("invoice.payment_failed")) == 4
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"
    assert len(sandbox.events("customer.subscription.deleted")) == 1


def test_a_new_card_rescues_the_gift(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Setting the subscription's card and paying the open invoice makes it active again."""
    subscription = give_monthly(sandbox, client)
    use_card(sandbox, client, subscription, "4000000000000341")
    sandbox.advance(days=32)
    before = read(client, subscription).status
    use_card(sandbox, client, subscription, "4242424242424242")
    paid = client.v1.invoices.pay(invoices_of(client, subscription.id)[0].id)
    sandbox.advance(days=10)

    assert (before, paid.status) == ("past_due", "paid")
    assert read(client, subscription).status == "active"
    assert len(sandbox.events("invoice.payment_failed")) == 1


def test_paying_with_a_bad_card_is_a_card_error(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A declined `pay` answers 402 with the decline, and the attempt is on record."""
    subscription = give_monthly(sandbox, client)
    use_card(sandbox, client, subscription, "4000000000000341")
    sandbox.advance(days=32)
    invoice = invoices_of(client, subscription.id)[0]
    failures = len(sandbox.events("charge.failed"))

    with pytest.raises(stripe.CardError) as declined:
        client.v1.invoices.pay(invoice.id)
    assert (declined.value.code, declined.value.http_status) == ("card_declined", 402)
    assert len(sandbox.events("charge.failed")) == failures + 1


def test_authentication_is_asked_for(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """An off-session charge that needs the donor says `payment_action_required`."""
    subscription = give_monthly(sandbox, client)
    sandbox.knobs(next_card="authentication_required")
    sandbox.advance(days=32)

    assert len(sandbox.events("invoice.payment_action_required")) == 1
    assert read(client, subscription).status == "past_due"


def test_hard_declines_are_not_tried_again(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A lost card is charged once; the schedule goes on, waiting for another card."""
    subscription = give_monthly(sandbox, client)
    sandbox.knobs(next_card="lost_card")
    sandbox.advance(days=35)

    assert len(sandbox.events("charge.failed")) == 1
    assert invoices_of(client, subscription.id)[0].attempt_count == 2


@pytest.mark.parametrize(("ending", "status"), [("unpaid", "unpaid"), ("past_due", "past_due")])
def test_other_ends_of_dunning(
    sandbox: SandboxProcess, client: stripe.StripeClient, ending: str, status: str
) -> None:
    """The account's settings decide what becomes of a gift that cannot be collected."""
    sandbox.knobs(dunning_end=ending)
    subscription = give_monthly(sandbox, client)
    use_card(sandbox, client, subscription, "4000000000000341")
    sandbox.advance(days=50)

    assert read(client, subscription).status == status


def test_the_amount_changes(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """The next invoice is for the new amount on the old date; nothing is charged now."""
    subscription = give_monthly(sandbox, client)
    changed = client.v1.subscriptions.update(subscription.id, amount_change(subscription, 4000))
    before = statuses(client, subscription)
    sandbox.advance(days=32)

    old, new = subscription["items"].data[0], changed["items"].data[0]
    assert (new.price.unit_amount, new.current_period_end) == (4000, old.current_period_end)
    assert before == ["paid"]
    assert [i.amount_paid for i in invoices_of(client, subscription.id)] == [4000, 1500]


def test_amounts_change_without_proration_only(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Proration, which the sandbox cannot do, is refused rather than ignored."""
    subscription = give_monthly(sandbox, client)
    params = amount_change(subscription, 4000, proration_behavior="create_prorations")

    with pytest.raises(stripe.InvalidRequestError, match="proration_behavior=none"):
        client.v1.subscriptions.update(subscription.id, params)


def test_the_day_changes(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A trial without proration moves the date; the next gift comes then, and monthly after."""
    subscription = give_monthly(sandbox, client)
    day = int(subscription.created) + 40 * DAY
    moved = client.v1.subscriptions.update(
        subscription.id, {"trial_end": day, "proration_behavior": "none"}
    )
    sandbox.advance(to=day - 10)
    before = statuses(client, subscription)
    sandbox.advance(seconds=4000)
    after = read(client, subscription)

    assert (moved.status, moved["items"].data[0].current_period_end) == ("trialing", day)
    assert before == ["paid"]
    assert after.status == "active"
    assert statuses(client, subscription) == ["paid", "paid"]
    assert after.billing_cycle_anchor == day


def test_collection_is_paused(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Paused months are invoiced and voided; the date stays; it resumes by itself."""
    subscription = give_monthly(sandbox, client)
    resumes = int(subscription.created) + 65 * DAY
    client.v1.subscriptions.update(
        subscription.id, {"pause_collection": {"behavior": "void", "resumes_at": resumes}}
    )
    sandbox.advance(days=64)
    during = read(client, subscription)
    sandbox.advance(days=32)

    assert during.status == "active"
    assert during.pause_collection is not None
    assert during.pause_collection.resumes_at == resumes
    assert read(client, subscription).pause_collection is None
    assert statuses(client, subscription) == ["paid", "void", "void", "paid"]
    assert len(sandbox.events("charge.succeeded")) == 2


def test_a_pause_is_lifted(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """An empty `pause_collection` resumes at once."""
    subscription = give_monthly(sandbox, client)
    client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    resumed = client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    sandbox.advance(days=32)

    assert resumed.pause_collection is None
    assert statuses(client, subscription) == ["paid", "paid"]


def test_the_other_kind_of_pause(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A paused subscription has no invoices; resuming charges now and starts a new month."""
    subscription = give_monthly(sandbox, client)
    paused = client.v1.subscriptions.pause(
        subscription.id, {"bill_for": {"unused_time_from": {"type": "none"}}}
    )
    sandbox.advance(days=70)
    during = statuses(client, subscription)
    resumed = client.v1.subscriptions.resume(subscription.id)

    assert (paused.status, during) == ("paused", ["paid"])
    assert resumed.status == "active"
    assert statuses(client, subscription) == ["paid", "paid"]
    told = [e["type"] for e in sandbox.events("customer.subscription")]
    assert "customer.subscription.paused" in told
    assert "customer.subscription.resumed" in told


def test_cancelling_ends_it_now(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Nothing more is charged, and a second cancellation is refused."""
    subscription = give_monthly(sandbox, client)
    ended = client.v1.subscriptions.cancel(
        subscription.id, {"cancellation_details": {"comment": "thank you"}}
    )
    sandbox.advance(days=70)

    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "cancellation_requested"
    assert statuses(client, subscription) == ["paid"]
    assert client.v1.subscriptions.list().data == []
    assert len(client.v1.subscriptions.list({"status": "all"}).data) == 1
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscriptions.cancel(subscription.id)


def test_cancelling_at_the_end_of_the_month(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """It stays active until then and ends without another charge."""
    subscription = give_monthly(sandbox, client)
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    sandbox.advance(days=20)
    before = read(client, subscription).status
    sandbox.advance(days=20)

    assert (before, read(client, subscription).status) == ("active", "canceled")
    assert statuses(client, subscription) == ["paid"]


def test_open_invoices_are_voided(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A voided invoice is never collected, and its PaymentIntent is cancelled."""
    subscription = give_monthly(sandbox, client)
    use_card(sandbox, client, subscription, "4000000000000341")
    sandbox.advance(days=32)
    invoice = invoices_of(client, subscription.id)[0]
    voided = client.v1.invoices.void_invoice(invoice.id)

    assert voided.status == "void"
    assert len(sandbox.events("payment_intent.canceled")) == 1
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.void_invoice(invoice.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.pay(invoice.id)


def test_the_next_charge_is_previewed(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A preview shows the next amount and date under a change that is not made."""
    subscription = give_monthly(sandbox, client)
    change = amount_change(subscription, 9900)
    preview = client.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": change}
    )

    assert preview.amount_due == 9900
    assert preview.lines.data[0].period.start == subscription["items"].data[0].current_period_end
    assert read(client, subscription)["items"].data[0].price.unit_amount == 1500
    assert statuses(client, subscription) == ["paid"]


def test_another_donors_card_is_refused(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A subscription can only be charged to a card of its own customer."""
    subscription = give_monthly(sandbox, client)
    stranger = client.v1.customers.create({"email": "b@example.org"})
    card = save_card(sandbox, client, stranger.id, "4242424242424242")

    with pytest.raises(stripe.InvalidRequestError, match="another customer"):
        client.v1.subscriptions.update(subscription.id, {"default_payment_method": card})


def test_a_declined_first_payment_begins_nothing(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A decline on the page leaves no subscription and no invoice behind."""
    session = open_session(client, "subscription")
    assert session.url is not None
    sandbox.pay(session.url, "4000000000000002")

    assert client.v1.subscriptions.list({"status": "all"}).data == []
    assert client.v1.invoices.list().data == []
