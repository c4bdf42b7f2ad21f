"""Webhooks: signed, retried, and every way in which they can go wrong."""

import pytest
import stripe

from tests.sandbox.conftest import Receiver, client_of
from tests.sandbox.lives import give_once
from tests.sandboxproc import SandboxProcess, eventually
from tests.stripeparams import API_VERSION, open_session


def test_events_arrive_signed(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """The SDK accepts each delivery with the endpoint's secret, at the pinned version."""
    session = give_once(sandbox, client)
    eventually(lambda: "checkout.session.completed" in receiver.types())

    for body, header in receiver.received:
        event = client.construct_event(body, header, secret)
        assert event.api_version == API_VERSION
        with pytest.raises(stripe.SignatureVerificationError):
            client.construct_event(body + b" ", header, secret)
    told = [e["data"]["object"]["id"] for e in receiver.events() if "checkout" in e["type"]]
    assert told == [session.id]


def test_only_what_was_asked_for_is_sent(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver
) -> None:
    """An endpoint hears of the types it enabled, and of nothing once disabled or deleted."""
    endpoint = client.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["customer.created"]}
    )
    client.v1.products.create({"name": "Unheard"})
    client.v1.customers.create({})
    eventually(lambda: receiver.received)
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    client.v1.customers.create({})
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": False})
    client.v1.webhook_endpoints.delete(endpoint.id)
    client.v1.customers.create({})
    sandbox.deliver()

    assert receiver.types() == ["customer.created"]


def test_the_secret_is_shown_once(client: stripe.StripeClient, receiver: Receiver) -> None:
    """Only the answer to the creation carries the secret."""
    made = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    read = client.v1.webhook_endpoints.retrieve(made.id)

    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert "secret" not in read.to_dict()


def test_refused_deliveries_are_repeated(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """After a 500 the same event comes again; until then it counts as undelivered."""
    receiver.answers = [500, 503]
    sandbox.knobs(webhook_retry_seconds=[2, 0.1, 5])
    client.v1.customers.create({})
    eventually(lambda: len(receiver.received) == 1)
    waiting = client.v1.events.list({"delivery_success": False}).data
    eventually(lambda: len(receiver.received) == 3)
    eventually(lambda: not client.v1.events.list({"delivery_success": False}).data)

    assert [e.type for e in waiting] == ["customer.created"]
    assert len({e["id"] for e in receiver.events()}) == 1


def test_deliveries_survive_a_crash(own_sandbox: SandboxProcess, receiver: Receiver) -> None:
    """What was not delivered before a kill -9 is delivered after the restart."""
    client = client_of(own_sandbox)
    client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    own_sandbox.knobs(webhook_delay_seconds=1)
    client.v1.customers.create({})
    own_sandbox.kill()
    own_sandbox.restart()
    eventually(lambda: receiver.received)

    assert receiver.types() == ["customer.created"]


def test_before_the_redirect(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """With `before` everything has arrived when the donor's browser is sent back."""
    sandbox.knobs(webhook_timing="before")
    give_once(sandbox, client)

    assert "checkout.session.completed" in receiver.types()


def test_after_the_redirect(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """With `after` nothing of the payment has arrived then, and it comes a second later."""
    sandbox.knobs(webhook_timing="after")
    session = open_session(client)
    assert session.url is not None
    sandbox.pay(session.url)
    early = "checkout.session.completed" in receiver.types()
    eventually(lambda: "checkout.session.completed" in receiver.types())

    assert not early


def test_never(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """With `never` events are only stored, to be found by a sweep, until they are released."""
    sandbox.knobs(webhook_timing="never")
    give_once(sandbox, client)
    sandbox.deliver()
    kinds = {e.type for e in client.v1.events.list({"delivery_success": False}).data}
    silent = receiver.received == []
    sandbox.deliver(withheld=True)

    assert silent
    assert "checkout.session.completed" in kinds
    assert "checkout.session.completed" in receiver.types()


def test_duplicates(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """Each event comes as often as the knob says."""
    sandbox.knobs(webhook_duplicate=3)
    client.v1.customers.create({})
    eventually(lambda: len(receiver.received) == 3)

    assert len({e["id"] for e in receiver.events()}) == 1


def test_an_event_is_sent_again(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """Any event can be sent again, as often as asked."""
    client.v1.customers.create({})
    eventually(lambda: len(receiver.received) == 1)
    (event,) = sandbox.events()

    assert sandbox.deliver(event=event["id"], times=4) >= 1
    eventually(lambda: len(receiver.received) == 5)


def test_reordered(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """The events of one payment come in another order, the last of them first."""
    sandbox.knobs(webhook_reorder=True)
    give_once(sandbox, client)
    eventually(lambda: len(receiver.received) == len(sandbox.events()))
    happened = [e["type"] for e in sandbox.events() if "product" not in e["type"]]
    arrived = [t for t in receiver.types() if "product" not in t]

    assert arrived[0] == happened[-1] == "checkout.session.completed"
    assert arrived != happened
    assert sorted(arrived) == sorted(happened)


def test_lost(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """The next so many deliveries are lost; the one after arrives."""
    sandbox.knobs(webhook_drop=2)
    for _ in range(3):
        client.v1.customers.create({})
    eventually(lambda: receiver.received)
    sandbox.deliver()

    assert len(receiver.received) == 1
    assert len(client.v1.events.list({"delivery_success": False}).data) == 2


def test_wrong_signature(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """A forged delivery is told apart."""
    sandbox.knobs(webhook_wrong_signature=True)
    client.v1.customers.create({})
    eventually(lambda: receiver.received)
    body, header = receiver.received[0]

    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body, header, secret)


def test_old_version(
    sandbox: SandboxProcess, client: stripe.StripeClient, receiver: Receiver, secret: str
) -> None:
    """An event can claim another API version, correctly signed."""
    sandbox.knobs(webhook_api_version="2020-08-27")
    client.v1.customers.create({})
    eventually(lambda: receiver.received)
    body, header = receiver.received[0]

    assert client.construct_event(body, header, secret).api_version == "2020-08-27"


def test_events_are_listed_by_type_and_for_thirty_days(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Types, several types and patterns filter; after thirty days an event is no longer listed."""
    client.v1.customers.create({})
    client.v1.products.create({"name": "Gift"})
    by_type = client.v1.events.list({"type": "customer.created"}).data
    by_types = client.v1.events.list({"types": ["customer.created", "product.created"]}).data
    by_pattern = client.v1.events.list({"type": "customer.*"}).data
    sandbox.advance(days=31)

    assert [len(found) for found in (by_type, by_types, by_pattern)] == [1, 2, 1]
    assert client.v1.events.list().data == []
    assert client.v1.events.retrieve(by_type[0].id).type == "customer.created"


def test_an_event_is_a_snapshot(client: stripe.StripeClient, sandbox: SandboxProcess) -> None:
    """An event keeps what was true then and names what changed."""
    customer = client.v1.customers.create({"name": "Before"})
    client.v1.customers.update(customer.id, {"name": "After"})
    created, updated = sandbox.events("customer")

    assert created["data"]["object"]["name"] == "Before"
    assert updated["data"]["object"]["name"] == "After"
    assert updated["data"]["previous_attributes"] == {"name": "Before"}
