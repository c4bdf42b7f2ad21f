"""The control panel: a page with plain forms, and the same doors for programs."""

import pytest
import requests
import stripe

from tests.sandbox.lives import charge_of, give_monthly, give_once, save_card
from tests.sandboxproc import SandboxProcess


def submit(sandbox: SandboxProcess, door: str, /, **form: str) -> int:
    """Send a form of the panel as a browser does; returns the status."""
    answer = requests.post(
        f"{sandbox.url}/_sandbox/{door}", data=form, allow_redirects=False, timeout=30
    )
    return answer.status_code


def test_the_panel_shows_what_happened(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Charges, disputes, payouts and events are on the page, which needs no script."""
    charge = charge_of(client, give_once(sandbox, client))
    give_monthly(sandbox, client)
    dispute = sandbox.post("disputes", charge=charge.id)
    sandbox.post("payouts")
    page = requests.get(f"{sandbox.url}/", timeout=10)

    for text in (charge.id, dispute["id"], "£25.00", "checkout.session.completed"):
        assert text in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_its_forms_work(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Each form does what its door does and leads back to the panel."""
    charge = charge_of(client, give_once(sandbox, client))
    answers = [
        submit(sandbox, "knobs", webhook_duplicate="2", early_fraud_warning="true"),
        submit(sandbox, "knobs", dunning_days="1, 2", webhook_timing="never"),
        submit(sandbox, "faults", kind="409", path="/v1/refunds"),
        submit(sandbox, "next-card", outcome="lost_card"),
        submit(sandbox, "disputes", charge=charge.id),
        submit(sandbox, "advance", days="2"),
        submit(sandbox, "deliver"),
    ]
    knobs = sandbox.get("knobs")

    assert answers == [303] * 7
    assert (knobs["webhook_duplicate"], knobs["early_fraud_warning"]) == (2, True)
    assert (knobs["dunning_days"], knobs["webhook_timing"]) == ([1, 2], "never")
    assert (knobs["faults"][0]["kind"], knobs["next_card"]) == ("409", "lost_card")
    assert client.v1.charges.retrieve(charge.id).disputed


@pytest.mark.parametrize(
    "body",
    [
        {"no_such_knob": 1},
        {"webhook_timing": "sometimes"},
        {"next_card": "eaten_by_dog"},
        {"faults": [{"kind": "418"}]},
    ],
)
def test_wrong_knobs_are_refused(sandbox: SandboxProcess, body: dict[str, object]) -> None:
    """An unknown knob or setting is an error and changes nothing."""
    before = sandbox.get("knobs")
    answer = requests.post(f"{sandbox.url}/_sandbox/knobs", json=body, timeout=10)

    assert answer.status_code == 400
    assert sandbox.get("knobs") == before


def test_the_forms_beside_each_thing_work(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Refunds, payouts, cards and charges have their buttons on the panel."""
    charge = charge_of(client, give_once(sandbox, client))
    subscription = give_monthly(sandbox, client)
    refund = client.v1.refunds.create({"charge": charge.id})
    (payout,) = sandbox.post("payouts", stays=True)["payouts"]
    page = requests.get(f"{sandbox.url}/_sandbox", timeout=10).text
    answers = [
        submit(sandbox, f"refunds/{refund.id}/settle", outcome="failed"),
        submit(sandbox, f"payouts/{payout['id']}/settle", status="paid"),
        submit(sandbox, "fraud-warnings", charge=charge.id),
        submit(
            sandbox,
            "card-outcomes",
            payment_method=str(subscription.default_payment_method),
            outcome="insufficient_funds",
        ),
    ]

    assert answers == [303] * 4
    for door in (f"refunds/{refund.id}/settle", f"payouts/{payout['id']}/settle"):
        assert f'action="/_sandbox/{door}"' in page
    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    assert client.v1.payouts.retrieve(payout["id"]).status == "paid"
    assert len(client.v1.radar.early_fraud_warnings.list().data) == 1


def test_time_moves_forward_only(sandbox: SandboxProcess) -> None:
    """The past is refused."""
    answer = requests.post(f"{sandbox.url}/_sandbox/advance", json={"to": 1}, timeout=10)

    assert answer.status_code == 400


def test_a_bank_renews_a_card(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A saved card can be renewed by its bank, which is told as an automatic update."""
    customer = client.v1.customers.create({"email": "a@example.org"})
    method = save_card(sandbox, client, customer.id, "4242424242424242")
    sandbox.post("card-renewals", payment_method=method, year=2041)
    renewed = client.v1.payment_methods.retrieve(method)

    assert renewed.card is not None
    assert renewed.card.exp_year == 2041
    assert len(sandbox.events("payment_method.automatically_updated")) == 1


def test_starting_over_can_keep_the_listeners(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A reset forgets everything, but keeps endpoints and their secrets if asked to."""
    client.v1.webhook_endpoints.create(
        {"url": "http://localhost:9/webhooks", "enabled_events": ["product.created"]}
    )
    client.v1.customers.create({})
    sandbox.post("reset", keep_endpoints=True)
    kept = client.v1.webhook_endpoints.list().data
    sandbox.post("reset")

    assert len(kept) == 1
    assert client.v1.webhook_endpoints.list().data == []
    assert sandbox.events() == []
