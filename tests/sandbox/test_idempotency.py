"""Idempotency keys as Stripe treats them, and the faults that make them necessary."""

import threading
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import client_of
from tests.sandbox.lives import charge_of, give_once
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import API_VERSION, open_session


def test_the_same_key_answers_the_same(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A repeated request has one effect, and its answer says that it is a repetition."""
    first = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})
    again = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(client.v1.customers.list().data) == 1


def test_the_same_key_with_other_parameters_is_refused(client: stripe.StripeClient) -> None:
    """A key belongs to its parameters."""
    client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.customers.create({"name": "B"}, {"idempotency_key": "k1"})
    assert refused.value.http_status == 400


def test_keys_are_forgotten_after_a_day(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """After 24 hours of the sandbox's time a key is new again."""
    first = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})
    sandbox.advance(seconds=86_401)
    later = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    assert later.id != first.id


def test_refusals_that_ran_are_replayed(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """An error of a request that began is stored under its key, even if it would now succeed."""
    charge = charge_of(client, give_once(sandbox, client))
    messages = []
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.refunds.create(
                {"charge": charge.id, "amount": 9999}, {"idempotency_key": "k1"}
            )
        assert refused.value.headers is not None
        messages.append(refused.value.headers.get("Idempotent-Replayed"))

    assert messages == [None, "true"]


def test_refusals_of_the_form_use_up_no_key(client: stripe.StripeClient) -> None:
    """A request that fails validation leaves its key free."""
    bad: Any = {"emial": "x"}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create(bad, {"idempotency_key": "k1"})

    assert client.v1.customers.create({}, {"idempotency_key": "k1"}).id


def test_a_key_in_flight_is_refused(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Of many requests with one key at once one has the effect; the others get it or a 409."""
    sandbox.knobs(latency_ms=20)
    answers: list[str] = []

    def create() -> None:
        try:
            answers.append(client_of(sandbox).v1.customers.create({}, {"idempotency_key": "k"}).id)
        except stripe.StripeError as error:
            answers.append(str(error.http_status))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    made = client.v1.customers.list().data
    assert len(made) == 1
    assert set(answers) <= {made[0].id, "409"}


def test_500_before_has_no_effect(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A failure at the door leaves nothing behind, and the key free."""
    sandbox.fault("500_before", method="POST")
    with pytest.raises(stripe.APIError):
        client.v1.customers.create({}, {"idempotency_key": "k1"})

    assert client.v1.customers.list().data == []
    assert client.v1.customers.create({}, {"idempotency_key": "k1"}).id


def test_500_after_has_the_effect_and_is_replayed(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A lost answer: the customer exists, and the key keeps answering 500."""
    sandbox.fault("500_after", method="POST")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.customers.create({}, {"idempotency_key": "k1"})

    assert len(client.v1.customers.list().data) == 1


def test_a_timeout_has_the_effect_and_can_be_repeated(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """The connection closes without an answer; the same key then tells what happened."""
    sandbox.fault("timeout", method="POST", seconds=0.1)
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({}, {"idempotency_key": "k1"})
    again = client.v1.customers.create({}, {"idempotency_key": "k1"})

    assert [c.id for c in client.v1.customers.list().data] == [again.id]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("409", 409, "idempotency_key_in_use"), ("429", 429, "rate_limit")],
)
def test_busy_answers(
    sandbox: SandboxProcess, client: stripe.StripeClient, kind: str, status: int, code: str
) -> None:
    """Conflicts and rate limits are answered once, as often as asked, then it works."""
    sandbox.fault(kind, count=2)
    for _ in range(2):
        with pytest.raises(stripe.StripeError) as refused:
            client.v1.customers.list()
        assert refused.value.error is not None
        assert (refused.value.http_status, refused.value.error.code) == (status, code)

    assert client.v1.customers.list().data == []


def test_a_locked_object_is_retried_by_the_sdk(sandbox: SandboxProcess) -> None:
    """429 lock_timeout carries Stripe-Should-Retry, so the SDK tries again by itself."""
    patient = stripe.StripeClient(
        "sk_test_sandbox",
        stripe_version=API_VERSION,
        base_addresses={"api": sandbox.url},
        max_network_retries=2,
    )
    sandbox.fault("429_lock")
    patient.v1.customers.create({})

    assert [r["status"] for r in sandbox.requests("POST")] == [429, 200]


def test_a_fault_waits_for_its_path(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A fault meant for refunds does not touch Checkout."""
    sandbox.fault("500_before", method="POST", path="/v1/refunds")

    assert open_session(client).url
    with pytest.raises(stripe.APIError):
        client.v1.refunds.create({"charge": "ch_1"})
