"""The API's manners: keys, versions, refusals, lists, expansion."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.lives import charge_of, give_monthly, give_once
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import API_VERSION, checkout_params, open_session

KEY = {"Authorization": "Bearer sk_test_sandbox", "Stripe-Version": API_VERSION}


def call(
    sandbox: SandboxProcess, method: str, path: str, headers: dict[str, str], data: Any = None
) -> tuple[int, dict[str, Any]]:
    """Send a bare request; returns the status and the error."""
    answer = requests.request(method, sandbox.url + path, headers=headers, data=data, timeout=10)
    return answer.status_code, answer.json().get("error", {})


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 401, "did not provide"),
        ({"Authorization": "Bearer sk_live_abc"}, 401, "refuses live keys"),
        ({"Authorization": "Bearer rk_live_abc"}, 401, "refuses live keys"),
        ({"Authorization": "Bearer nonsense"}, 401, "Invalid API Key"),
        (KEY | {"Stripe-Version": "2020-08-27"}, 400, "2026-10-28.endive only"),
    ],
)
def test_keys_and_versions(
    sandbox: SandboxProcess, headers: dict[str, str], status: int, words: str
) -> None:
    """Only a test key at the pinned version gets an answer; a live key never does."""
    got, error = call(sandbox, "GET", "/v1/customers", headers)

    assert (got, words in error["message"]) == (status, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/coupons"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/products/x"),
        ("GET", "/v2/x"),
    ],
)
def test_what_is_not_offered_is_refused(sandbox: SandboxProcess, method: str, path: str) -> None:
    """An endpoint the sandbox lacks answers `sandbox_unsupported`, never a silent success."""
    status, error = call(sandbox, method, path, KEY)

    assert (status in {404, 405}, error["code"]) == (True, "sandbox_unsupported")


def test_unknown_parameters_are_refused(sandbox: SandboxProcess) -> None:
    """A parameter Stripe does not know is an error that names it."""
    status, error = call(sandbox, "POST", "/v1/customers", KEY, {"emial": "a@example.org"})

    assert (status, error["code"], error["param"]) == (400, "parameter_unknown", "emial")


def test_parameters_without_meaning_here_are_refused(sandbox: SandboxProcess) -> None:
    """A parameter Stripe knows and the sandbox does not is refused too."""
    status, error = call(sandbox, "POST", "/v1/customers", KEY, {"balance": "5"})

    assert (status, error["code"], error["param"]) == (400, "sandbox_unsupported", "balance")


def test_removed_parameters_have_their_own_error(client: stripe.StripeClient) -> None:
    """`payment_method_types` is refused with the code that Stripe gives."""
    params = checkout_params("prod_1", payment_method_types=["card"])

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(params)
    assert refused.value.code == "payment_method_types_no_longer_supported"


def test_missing_objects_are_missing(client: stripe.StripeClient) -> None:
    """An unknown id is `resource_missing` with 404; as a parameter it is 400."""
    with pytest.raises(stripe.InvalidRequestError) as first:
        client.v1.customers.retrieve("cus_none")
    with pytest.raises(stripe.InvalidRequestError) as second:
        open_session(client, customer="cus_none")

    assert (first.value.http_status, first.value.code) == (404, "resource_missing")
    assert (second.value.http_status, second.value.param) == (400, "customer")


def test_every_answer_has_a_request_id(client: stripe.StripeClient) -> None:
    """A request can be found again by its id."""
    customer = client.v1.customers.create({})

    assert customer.last_response is not None
    assert str(customer.last_response.request_id).startswith("req_")


def test_lists_are_paged_both_ways(client: stripe.StripeClient) -> None:
    """Cursors walk forwards and backwards, newest first, without gaps or repeats."""
    made = [client.v1.customers.create({"name": str(n)}).id for n in range(7)][::-1]

    first = client.v1.customers.list({"limit": 3})
    second = client.v1.customers.list({"limit": 3, "starting_after": first.data[-1].id})
    back = client.v1.customers.list({"limit": 3, "ending_before": second.data[0].id})
    walked = [c.id for c in client.v1.customers.list({"limit": 2}).auto_paging_iter()]

    assert [c.id for c in first.data] == made[:3]
    assert [c.id for c in second.data] == made[3:6]
    assert [c.id for c in back.data] == made[:3]
    assert (first.has_more, back.has_more) == (True, False)
    assert walked == made


def test_lists_are_filtered(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """By time of creation and by field."""
    early = client.v1.customers.create({"email": "a@example.org"})
    sandbox.advance(days=1)
    late = client.v1.customers.create({"email": "b@example.org"})

    since = client.v1.customers.list({"created": {"gt": early.created}})
    named = client.v1.customers.list({"email": "a@example.org"})

    assert [c.id for c in since.data] == [late.id]
    assert [c.id for c in named.data] == [early.id]


def test_expansion_follows_dots(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Ids become objects along a path, in single answers and in lists."""
    session = give_once(sandbox, client)
    path = "payment_intent.latest_charge.balance_transaction"
    one = client.v1.checkout.sessions.retrieve(session.id, {"expand": [path, "line_items"]})
    many = client.v1.checkout.sessions.list({"expand": ["data." + path]})

    for found in (one, many.data[0]):
        intent = found.payment_intent
        assert isinstance(intent, stripe.PaymentIntent)
        assert isinstance(intent.latest_charge, stripe.Charge)
        movement = intent.latest_charge.balance_transaction
        assert isinstance(movement, stripe.BalanceTransaction)
        assert (movement.amount, movement.fee, movement.net) == (2500, 103, 2397)
    assert one.line_items is not None
    assert one.line_items.data[0].amount_total == 2500


def test_what_cannot_be_expanded_is_refused(client: stripe.StripeClient) -> None:
    """A wrong path is an error, not an answer without it."""
    customer = client.v1.customers.create({})

    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.customers.retrieve(customer.id, {"expand": ["nonsense"]})


def test_metadata_is_merged(client: stripe.StripeClient) -> None:
    """An update adds and replaces keys, and an empty value removes one."""
    customer = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    customer = client.v1.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})

    assert customer.metadata is not None
    assert customer.metadata.to_dict() == {"a": "1", "c": "3"}


def test_nothing_is_ever_live(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Every object that says so says test mode."""
    give_monthly(sandbox, client)
    charge_of(client, give_once(sandbox, client))

    said = {o.get("livemode", False) for e in sandbox.events() for o in (e, e["data"]["object"])}
    assert said == {False}


def test_state_survives_a_crash(own_sandbox: SandboxProcess) -> None:
    """What was answered before a kill -9 is there afterwards, clock and all."""
    client = stripe.StripeClient(
        "sk_test_sandbox", stripe_version=API_VERSION, base_addresses={"api": own_sandbox.url}
    )
    own_sandbox.advance(days=10)
    customer = client.v1.customers.create({"name": "Kept"})
    own_sandbox.kill()
    own_sandbox.restart()

    kept = client.v1.customers.retrieve(customer.id)
    later = client.v1.customers.create({})
    assert kept.name == "Kept"
    assert 0 <= later.created - customer.created < 30


def test_requests_are_logged(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Tests can count what the product asked for, refusals included."""
    client.v1.customers.create({}, {"idempotency_key": "once"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.retrieve("cus_none")

    shown = [(r["method"], r["idempotency_key"], r["status"]) for r in sandbox.requests()]
    assert shown == [("POST", "once", 200), ("GET", None, 404)]
