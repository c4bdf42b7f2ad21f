"""What the sandbox does when it would have to lie, and when it is asked for nonsense."""

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from donorportal.sandbox.app import create_sandbox
from donorportal.sandbox.operations import OPERATIONS
from donorportal.sandbox.sdktypes import annotations_of_params
from donorportal.sandbox.storage import Store

KEY = {"Authorization": "Bearer sk_test_sandbox"}


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[tuple[FlaskClient, Store]]:
    """The application without its process, and its store."""
    app = create_sandbox(tmp_path / "sandbox.db", public_url="http://localhost:8010")
    store, _ = app.extensions["sandbox"]
    yield app.test_client(), store
    store.close()


def test_a_dishonest_answer_is_not_given(inside: tuple[FlaskClient, Store]) -> None:
    """An object with a field that Stripe does not have is withheld: 500, and said why."""
    client, store = inside
    customer = client.post("/v1/customers", headers=KEY).get_json()
    with store.transaction() as tx:
        tx.save(customer | {"favourite_colour": "blue"})
    answer = client.get(f"/v1/customers/{customer['id']}", headers=KEY)

    assert answer.status_code == 500
    error = answer.get_json()["error"]
    assert error["code"] == "sandbox_dishonest"
    assert "customer.favourite_colour: unknown field" in error["message"]


def test_a_dishonest_event_undoes_its_cause(inside: tuple[FlaskClient, Store]) -> None:
    """When the event of a change would be wrong, the change is not made either."""
    client, store = inside
    customer = client.post("/v1/customers", headers=KEY).get_json()
    with store.transaction() as tx:
        tx.save(customer | {"favourite_colour": "blue"})
    answer = client.post(f"/v1/customers/{customer['id']}", data={"name": "New"}, headers=KEY)
    with store.transaction() as tx:
        kept = tx.load(customer["id"])
        events = tx.find("event", type="customer.updated")

    assert answer.status_code == 500
    assert (kept["name"], events) == (None, [])


def test_nonsense_is_refused_everywhere(inside: tuple[FlaskClient, Store]) -> None:
    """Two thousand random requests end in answers or refusals, never in a failure."""
    client, _ = inside
    dice = random.Random(7)
    values = ["", "x", "0", "-1", "9" * 30, "true", "null", "ü", "usd", "now", "a" * 600]
    endings = ["", "", "[]", "[0]", "[a]", "[0][id]", "[type]", "[gte]", "[", "]", "[0"]
    seen = set()
    for _ in range(2000):
        operation = dice.choice(OPERATIONS)
        names = [*annotations_of_params(operation.params), "nonsense"]
        form = urlencode(
            [(dice.choice(names) + dice.choice(endings), dice.choice(values)) for _ in range(2)]
        )
        path = operation.path.replace("<id>", dice.choice(values) or "x")
        if operation.method == "POST":
            kind = "application/x-www-form-urlencoded"
            answer = client.post(path, data=form, headers=KEY, content_type=kind)
        else:
            answer = client.open(f"{path}?{form}", method=operation.method, headers=KEY)
        seen.add(answer.status_code)

    assert seen <= {200, 400, 404}
