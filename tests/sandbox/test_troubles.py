"""Money that does not stay where it went: late failures, partial disputes, returned debits."""

import pytest
import requests
import stripe

from tests.sandbox.lives import charge_of, give_once
from tests.sandboxproc import SandboxProcess
from tests.stripeparams import open_session


def paid_charge(
    sandbox: SandboxProcess, client: stripe.StripeClient, card: str = "4242424242424242"
) -> stripe.Charge:
    """Give 25.00 GBP by a card and return the charge."""
    session = open_session(client)
    assert session.url is not None
    assert sandbox.pay(session.url, card).status_code == 303
    return charge_of(client, client.v1.checkout.sessions.retrieve(session.id))


def debited_charge(sandbox: SandboxProcess, client: stripe.StripeClient) -> stripe.Charge:
    """Give 25.00 GBP by bank debit, let it arrive, and return the charge."""
    session = open_session(client, allowed_payment_method_types=["card", "bacs_debit"])
    assert session.url is not None
    sandbox.pay(session.url, method="bacs_debit")
    done = client.v1.checkout.sessions.retrieve(session.id)
    sandbox.post("async", payment_intent=done.payment_intent, outcome="succeeded")
    return charge_of(client, done)


def balance(client: stripe.StripeClient) -> int:
    """Return the sum of all balance transactions."""
    return sum(m.net for m in client.v1.balance_transactions.list({"limit": 100}).data)


def test_a_refund_fails_weeks_after_it_succeeded(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """The money of a refund that succeeded comes back, and can be refunded again."""
    charge = paid_charge(sandbox, client)
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 1000})
    sandbox.advance(days=20)
    sandbox.post(f"refunds/{refund.id}/settle", outcome="failed", reason="expired_or_canceled_card")
    failed = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    back = failed.failure_balance_transaction

    assert (refund.status, failed.status) == ("succeeded", "failed")
    assert failed.failure_reason == "expired_or_canceled_card"
    assert isinstance(back, stripe.BalanceTransaction)
    assert (back.type, back.amount) == ("refund_failure", 1000)
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 0
    assert len(sandbox.events("refund.failed")) == 1
    assert balance(client) == 2397
    assert client.v1.refunds.create({"charge": charge.id}).amount == 2500


def test_a_pending_refund_is_ended_by_hand(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A pending refund arrives when the panel says so, and its timer does nothing more."""
    sandbox.knobs(refund_outcome="failed", refund_days=30)
    refund = client.v1.refunds.create({"charge": paid_charge(sandbox, client).id})
    sandbox.post(f"refunds/{refund.id}/settle", outcome="succeeded")
    sandbox.advance(days=31)

    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert sandbox.events("refund.failed") == []


def test_a_failed_refund_stays_failed(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """What has failed can neither succeed nor fail again."""
    refund = client.v1.refunds.create({"charge": paid_charge(sandbox, client).id})
    sandbox.post(f"refunds/{refund.id}/settle", outcome="failed")

    for outcome in ("succeeded", "failed", "lost"):
        answer = requests.post(
            f"{sandbox.url}/_sandbox/refunds/{refund.id}/settle",
            json={"outcome": outcome},
            timeout=10,
        )
        assert answer.status_code == 400
    assert balance(client) == 2397


@pytest.mark.parametrize(
    ("card", "ending"), [("4000000000007726", "succeeded"), ("4000000000005126", "failed")]
)
def test_cards_decide_about_refunds(
    sandbox: SandboxProcess, client: stripe.StripeClient, card: str, ending: str
) -> None:
    """Two of Stripe's test cards make their refunds pending, then arrive or fail."""
    refund = client.v1.refunds.create({"charge": paid_charge(sandbox, client, card).id})
    sandbox.advance(days=6)

    assert refund.status == "pending"
    assert client.v1.refunds.retrieve(refund.id).status == ending


def test_a_part_is_disputed(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A partial dispute withdraws its part and the fee; winning a part of it returns that."""
    charge = paid_charge(sandbox, client)
    sandbox.knobs(dispute_fee_minor=2000)
    opened = sandbox.post("disputes", charge=charge.id, amount=1000, reason="duplicate")
    withdrawn = balance(client)
    sandbox.post(f"disputes/{opened['id']}/close", status="won", amount=600)
    dispute = client.v1.disputes.retrieve(opened["id"])

    assert (opened["amount"], opened["reason"]) == (1000, "duplicate")
    assert withdrawn == 2397 - 1000 - 2000
    assert balance(client) == 2397 - 1000 - 2000 + 600
    assert [m.reporting_category for m in dispute.balance_transactions] == [
        "dispute",
        "dispute_reversal",
    ]


@pytest.mark.parametrize("amount", [2501, "all"])
def test_more_than_the_charge_cannot_be_disputed(
    sandbox: SandboxProcess, client: stripe.StripeClient, amount: object
) -> None:
    """A dispute is over the charge or a part of it."""
    charge = paid_charge(sandbox, client)
    answer = requests.post(
        f"{sandbox.url}/_sandbox/disputes",
        json={"charge": charge.id, "amount": amount},
        timeout=10,
    )

    assert answer.status_code == 400
    assert client.v1.disputes.list().data == []


def test_refunds_around_disputes(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A refund is refused while the bank has the money, not during an inquiry or after a win."""
    inquired, disputed = paid_charge(sandbox, client), paid_charge(sandbox, client)
    sandbox.post("disputes", charge=inquired.id, warning=True)
    dispute = sandbox.post("disputes", charge=disputed.id)

    assert client.v1.refunds.create({"charge": inquired.id}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": disputed.id})
    assert refused.value.code == "charge_disputed"
    sandbox.post(f"disputes/{dispute['id']}/close", status="won")
    assert client.v1.refunds.create({"charge": disputed.id}).status == "succeeded"


def test_cards_bring_disputes_and_warnings(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Stripe's test cards for disputes and early fraud warnings do here what they do there."""
    disputed = paid_charge(sandbox, client, "4000000000002685")
    suspicious = paid_charge(sandbox, client, "4000000000005423")

    assert [d.reason for d in client.v1.disputes.list({"charge": disputed.id}).data] == [
        "product_not_received"
    ]
    warnings = client.v1.radar.early_fraud_warnings.list().data
    assert [w.charge for w in warnings] == [suspicious.id]


def test_a_warning_about_a_refunded_charge_needs_nothing(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A warning that comes after the refund says that there is nothing to do."""
    charge = paid_charge(sandbox, client)
    first = sandbox.post("fraud-warnings", charge=charge.id)
    client.v1.refunds.create({"charge": charge.id})
    second = sandbox.post("fraud-warnings", charge=charge.id)

    assert (first["actionable"], second["actionable"]) == (True, False)
    assert len(sandbox.events("radar.early_fraud_warning.created")) == 2


def test_a_debit_comes_back_as_a_dispute(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A bank takes an arrived debit back: a dispute that is lost from the beginning."""
    charge = debited_charge(sandbox, client)
    returned = sandbox.post("returns", charge=charge.id, reason="debit_not_authorized")

    assert (returned["status"], returned["reason"]) == ("lost", "debit_not_authorized")
    assert "payment_method_details" not in returned
    assert balance(client) == 2397 - 2500 - 1500
    assert [e["type"] for e in sandbox.events("charge.dispute")] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]


def test_a_debit_fails_after_it_arrived(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """The other way back: the charge itself fails, and a movement says so."""
    charge = debited_charge(sandbox, client)
    sandbox.post("returns", charge=charge.id, how="failure")
    failed = client.v1.charges.retrieve(charge.id, {"expand": ["failure_balance_transaction"]})
    assert isinstance(charge.payment_intent, str)
    intent = client.v1.payment_intents.retrieve(charge.payment_intent)

    assert (failed.status, failed.paid, failed.failure_code) == (
        "failed",
        False,
        "insufficient_funds",
    )
    assert isinstance(failed.failure_balance_transaction, stripe.BalanceTransaction)
    assert failed.failure_balance_transaction.amount == -2500
    assert (intent.status, intent.amount_received) == ("requires_payment_method", 0)
    assert sandbox.events("charge.failed") != []
    assert sandbox.events("payment_intent.payment_failed") != []


def test_only_debits_come_back(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """A card payment is disputed, never returned."""
    charge = paid_charge(sandbox, client)
    answer = requests.post(
        f"{sandbox.url}/_sandbox/returns", json={"charge": charge.id}, timeout=10
    )

    assert answer.status_code == 400


def test_debits_may_bounce_by_themselves(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """The knob lets debits bounce when their days are over."""
    sandbox.knobs(async_outcome="failed")
    session = open_session(client, allowed_payment_method_types=["card", "bacs_debit"])
    assert session.url is not None
    sandbox.pay(session.url, method="bacs_debit")
    sandbox.advance(days=5)

    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    assert len(sandbox.events("checkout.session.async_payment_failed")) == 1


def test_a_debit_and_its_refund_are_payments(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Movements of bank debits have Stripe's other types, and the same categories."""
    charge = debited_charge(sandbox, client)
    refund = client.v1.refunds.create({"charge": charge.id})
    found = client.v1.balance_transactions.list().data

    assert [(m.type, m.reporting_category) for m in found] == [
        ("payment_refund", "refund"),
        ("payment", "charge"),
    ]
    assert "destination_details" not in refund


def test_the_balance_has_a_currency(sandbox: SandboxProcess, client: stripe.StripeClient) -> None:
    """Gifts in another currency are converted, fees are in the balance's, refunds at their day."""
    sandbox.knobs(balance_currency="usd", exchange_millionths=1_250_000)
    charge = charge_of(client, give_once(sandbox, client))
    sandbox.knobs(exchange_millionths=1_300_000)
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 1001})
    back, gross = client.v1.balance_transactions.list({"currency": "usd"}).data
    (payout,) = sandbox.post("payouts")["payouts"]

    assert (charge.currency, refund.currency) == ("gbp", "gbp")
    assert (gross.amount, gross.fee, gross.exchange_rate) == (3125, 91 + 30, 1.25)
    assert (back.amount, back.fee, back.exchange_rate) == (-1301, 0, 1.3)
    assert (payout["currency"], payout["amount"]) == ("usd", 3125 - 121 - 1301)


def test_only_what_is_available_is_paid_out(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Movements become available after two days; a payout may be limited to those."""
    early = paid_charge(sandbox, client)
    sandbox.advance(days=2)
    paid_charge(sandbox, client)
    (payout,) = sandbox.post("payouts", available=True)["payouts"]
    movements = client.v1.balance_transactions.list({"payout": payout["id"], "type": "charge"})

    assert [m.source for m in movements.data] == [early.id]
    assert sandbox.post("payouts", available=True)["payouts"] == []


def test_a_payout_comes_back_after_it_arrived(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """A payout is under way, arrives, and is sent back all the same."""
    paid_charge(sandbox, client)
    (sent,) = sandbox.post("payouts", stays=True)["payouts"]
    paid = sandbox.post(f"payouts/{sent['id']}/settle", status="paid")
    failed = sandbox.post(f"payouts/{sent['id']}/settle", status="failed")
    (listed,) = client.v1.payouts.list({"arrival_date": {"gte": sent["arrival_date"]}}).data
    (again,) = sandbox.post("payouts")["payouts"]

    assert [sent["status"], paid["status"], failed["status"]] == ["in_transit", "paid", "failed"]
    assert (listed.id, listed.status) == (sent["id"], "failed")
    assert again["amount"] == sent["amount"]
    assert client.v1.payouts.list({"arrival_date": {"lt": sent["arrival_date"]}}).data == []
    told = [e["type"] for e in sandbox.events("payout")]
    assert told[:4] == [
        "payout.created",
        "payout.paid",
        "payout.reconciliation_completed",
        "payout.failed",
    ]


def test_every_movement_names_its_cause(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """The sources of a payout's movements can be had in the same answer."""
    charge = paid_charge(sandbox, client)
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 100})
    disputed = sandbox.post("disputes", charge=paid_charge(sandbox, client).id, amount=1)
    paid_charge(sandbox, client)
    (payout,) = sandbox.post("payouts")["payouts"]
    movements = client.v1.balance_transactions.list(
        {"payout": payout["id"], "limit": 100, "expand": ["data.source"]}
    )
    causes = {m.source.id for m in movements.data if not isinstance(m.source, str) and m.source}

    assert {charge.id, refund.id, disputed["id"], payout["id"]} <= causes
    assert len(movements.data) == 6
