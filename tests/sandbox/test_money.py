"""Money going back and money arriving: refunds, disputes, fees, payouts."""

import pytest
import stripe

from tests.sandbox.lives import charge_of, give_once
from tests.sandboxproc import SandboxProcess


def paid_charge(sandbox: SandboxProcess, client: stripe.StripeClient) -> stripe.Charge:
    """Give 25.00 GBP and return the charge."""
    return charge_of(client, give_once(sandbox, client))


def test_a_refund_in_parts(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Parts add up; the charge is refunded when nothing is left; more is refused."""
    charge = paid_charge(sandbox, client)
    part = client.v1.refunds.create({"charge": charge.id, "amount": 1000})
    between = client.v1.charges.retrieve(charge.id)
    assert isinstance(charge.payment_intent, str)
    rest = client.v1.refunds.create({"payment_intent": charge.payment_intent})
    after = client.v1.charges.retrieve(charge.id)

    assert (part.status, rest.amount) == ("succeeded", 1500)
    assert (between.amount_refunded, between.refunded) == (1000, False)
    assert (after.amount_refunded, after.refunded) == (2500, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    assert len(sandbox.events("charge.refunded")) == 2
    assert len(sandbox.events("refund.created")) == 2


@pytest.mark.parametrize("amount", [2501, 0, -1])
def test_wrong_amounts_are_refused(
    sandbox: SandboxProcess, client: stripe.StripeClient, amount: int
) -> None:
    """More than is left, nothing, or less than nothing cannot be refunded."""
    charge = paid_charge(sandbox, client)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id, "amount": amount})
    assert refused.value.param == "amount"
    assert client.v1.refunds.list({"charge": charge.id}).data == []


def test_a_refund_takes_its_time(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A pending refund succeeds days later."""
    charge = paid_charge(sandbox, client)
    sandbox.knobs(refund_outcome="pending")
    refund = client.v1.refunds.create({"charge": charge.id})
    sandbox.advance(days=6)

    assert (refund.status, client.v1.refunds.retrieve(refund.id).status) == ("pending", "succeeded")
    assert len(sandbox.events("refund.updated")) == 1


def test_a_refund_fails_later(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A failed refund puts the money back with us and says so."""
    charge = paid_charge(sandbox, client)
    sandbox.knobs(refund_outcome="failed")
    refund = client.v1.refunds.create({"charge": charge.id})
    sandbox.advance(days=6)
    failed = client.v1.refunds.retrieve(refund.id)

    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 0
    assert len(sandbox.events("refund.failed")) == 1


@pytest.mark.parametrize(("outcome", "net"), [("won", 2397 - 1500), ("lost", 2397 - 2500 - 1500)])
def test_a_dispute(
    sandbox: SandboxProcess, client: stripe.StripeClient, outcome: str, net: int
) -> None:
    """The money is withdrawn with a fee; winning brings it back, the fee stays."""
    charge = paid_charge(sandbox, client)
    dispute = sandbox.post("disputes", charge=charge.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    sandbox.post(f"disputes/{dispute['id']}/close", status=outcome)

    assert refused.value.code == "charge_disputed"
    assert client.v1.charges.retrieve(charge.id).disputed
    assert client.v1.disputes.retrieve(dispute["id"]).status == outcome
    assert sum(m.net for m in client.v1.balance_transactions.list().data) == net
    reinstated = len(sandbox.events("charge.dispute.funds_reinstated"))
    assert reinstated == (1 if outcome == "won" else 0)
    for kind in ("created", "funds_withdrawn", "updated", "closed"):
        assert len(sandbox.events(f"charge.dispute.{kind}")) == 1


def test_an_inquiry_moves_no_money(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A warning asks a question, and the gift can still be refunded to answer it."""
    charge = paid_charge(sandbox, client)
    inquiry = sandbox.post("disputes", charge=charge.id, warning=True)

    assert inquiry["status"] == "warning_needs_response"
    assert sum(m.net for m in client.v1.balance_transactions.list().data) == 2397
    assert sandbox.events("charge.dispute.funds_withdrawn") == []


def test_an_early_fraud_warning(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """The knob makes the next charges suspicious."""
    sandbox.knobs(early_fraud_warning=True)
    charge = paid_charge(sandbox, client)
    (warning,) = client.v1.radar.early_fraud_warnings.list({"charge": charge.id}).data

    assert warning.actionable
    assert client.v1.radar.early_fraud_warnings.retrieve(warning.id).charge == charge.id
    assert len(sandbox.events("radar.early_fraud_warning.created")) == 1


def test_fees_may_come_later(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """With asynchronous capture the balance transaction follows by `charge.updated`."""
    sandbox.knobs(balance_pending=True)
    charge = paid_charge(sandbox, client)
    sandbox.advance(seconds=61)
    later = client.v1.charges.retrieve(charge.id)

    assert charge.balance_transaction is None
    assert isinstance(later.balance_transaction, str)
    assert len(sandbox.events("charge.updated")) == 1


def test_a_payout_adds_up(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A payout's movements sum to nothing: gifts less fees and refunds, less the payout itself."""
    charges = [paid_charge(sandbox, client) for _ in range(3)]
    client.v1.refunds.create({"charge": charges[0].id, "amount": 500})
    (payout,) = sandbox.post("payouts")["payouts"]
    movements = client.v1.balance_transactions.list({"payout": payout["id"], "limit": 100}).data

    assert payout["amount"] == 3 * 2397 - 500
    assert sorted(m.type for m in movements) == ["charge", "charge", "charge", "payout", "refund"]
    assert sum(m.net for m in movements) == 0
    assert [e["type"] for e in sandbox.events("payout")] == [
        "payout.created",
        "payout.paid",
        "payout.reconciliation_completed",
    ]
    assert sandbox.post("payouts")["payouts"] == []


def test_a_payout_fails(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A payout that the bank sends back leaves its amount to be paid out again."""
    paid_charge(sandbox, client)
    (failed,) = sandbox.post("payouts", fails=True)["payouts"]
    (again,) = sandbox.post("payouts")["payouts"]

    assert (failed["status"], again["status"], again["amount"]) == ("failed", "paid", 2397)
    assert client.v1.payouts.list({"status": "failed"}).data[0].id == failed["id"]
