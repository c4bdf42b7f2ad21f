"""Disputes and early fraud warnings: the donor's bank takes the money back, or asks about it."""

from donorportal.sandbox import balance, knobs, lists
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_DAY = 86_400
OUTCOMES = ("won", "lost", "warning_closed")


def open_dispute(
    tx: Transaction,
    charge_id: str,
    *,
    amount: int | None = None,
    reason: str = "fraudulent",
    warning: bool = False,
    final: bool = False,
) -> Body:
    """Open a dispute over a charge or a part of it, or only an inquiry that moves no money.

    A `final` one is lost from the beginning, as those over bank debits are.
    """
    charge = _charge_to_dispute(tx, charge_id)
    amount = charge["amount"] if amount is None else amount
    if not 0 < amount <= charge["amount"]:
        raise invalid("A dispute is over the charge or a part of it.", "amount")
    dispute = new(
        tx,
        "dispute",
        amount=amount,
        balance_transactions=[],
        charge=charge_id,
        currency=charge["currency"],
        is_charge_refundable=warning,
        metadata={},
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="lost" if final else "warning_needs_response" if warning else "needs_response",
    )
    if charge["payment_method_details"]["type"] == "card":
        dispute["payment_method_details"] = _card_details(charge, warning=warning)
    dispute["evidence_details"]["due_by"] = tx.now + 7 * _DAY
    _tidy(dispute)
    if not warning:
        dispute["balance_transactions"] = [
            balance.move(
                tx,
                "adjustment",
                dispute,
                -amount,
                int(knobs.read(tx)["dispute_fee_minor"]),
                category="dispute",
            )
        ]
    tx.insert(dispute)
    emit(tx, "charge.dispute.created", dispute)
    _mark(tx, charge)
    if not warning:
        emit(tx, "charge.dispute.funds_withdrawn", dispute)
    if final:
        emit(tx, "charge.dispute.closed", dispute)
    return dispute


def _charge_to_dispute(tx: Transaction, charge_id: str) -> Body:
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", charge_id)
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid("Only a charge that succeeded and is not yet disputed can be disputed.")
    return charge


def _card_details(charge: Body, *, warning: bool) -> Body:
    details = minimal_part("dispute", "payment_method_details", "card")
    details |= {
        "brand": charge["payment_method_details"]["card"]["brand"],
        "case_type": "inquiry" if warning else "chargeback",
        "network_reason_code": "10.4",
    }
    return {"type": "card", "card": details}


def close_dispute(
    tx: Transaction, dispute_id: str, status: str, *, returned: int | None = None
) -> Body:
    """Decide a dispute; a won one brings the money back, or only the part `returned`."""
    dispute = _load(tx, dispute_id)
    if status not in OUTCOMES:
        raise invalid(f"A dispute ends as one of: {', '.join(OUTCOMES)}.", "status")
    if dispute["status"] in OUTCOMES:
        raise invalid("This dispute is closed already.", "status")
    if dispute["status"].startswith("warning") != (status == "warning_closed"):
        raise invalid("An inquiry ends as warning_closed, a dispute as won or lost.", "status")
    before = dict(dispute)
    dispute["status"] = status
    if status == "won":
        amount = dispute["amount"] if returned is None else returned
        if not 0 < amount <= dispute["amount"]:
            raise invalid("What comes back is the dispute's amount or a part of it.", "amount")
        back = balance.move(tx, "adjustment", dispute, amount, category="dispute_reversal")
        dispute["balance_transactions"] = [*dispute["balance_transactions"], back]
        dispute["is_charge_refundable"] = True
    tx.save(dispute)
    emit(tx, "charge.dispute.updated", dispute, changed(before, dispute))
    if status == "won":
        emit(tx, "charge.dispute.funds_reinstated", dispute)
    emit(tx, "charge.dispute.closed", dispute)
    return dispute


def _mark(tx: Transaction, charge: Body) -> None:
    charge["disputed"] = True
    tx.save(charge)
    emit(tx, "charge.updated", charge, {"disputed": False})


def blocks_refunds(tx: Transaction, charge_id: str) -> bool:
    """Say whether the bank has taken a charge's money, so that nothing can be refunded."""
    return any(not d["is_charge_refundable"] for d in tx.find("dispute", charge=charge_id))


def warn_of_fraud(tx: Transaction, charge_id: str) -> Body:
    """Let the card's network say that a charge is probably fraud, before any dispute."""
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", charge_id)
    warning = new(
        tx,
        "radar.early_fraud_warning",
        actionable=not (charge["refunded"] or charge["disputed"]),
        charge=charge_id,
        fraud_type="made_with_stolen_card",
        payment_intent=charge["payment_intent"],
    )
    tx.insert(warning)
    emit(tx, "radar.early_fraud_warning.created", warning)
    return warning


def _tidy(dispute: Body) -> None:
    # What Stripe leaves out for a plain card dispute.
    for place in (dispute["evidence"]["enhanced_evidence"], dispute["evidence_details"]):
        eligibility = place.get("enhanced_eligibility", place)
        for name in ("mastercard_compliance", "visa_compelling_evidence_3", "visa_compliance"):
            eligibility.pop(name, None)
    dispute["evidence"].pop("appeal", None)


@operation("GET", "/v1/disputes/<id>", "DisputeRetrieveParams")
def retrieve_dispute(tx: Transaction, params: Body, dispute_id: str) -> Body:  # noqa: ARG001
    """Answer a dispute."""
    return _load(tx, dispute_id)


@operation(
    "GET",
    "/v1/disputes",
    "DisputeListParams",
    accepts=f"charge created payment_intent {lists.PAGING}",
)
def list_disputes(tx: Transaction, params: Body) -> Body:
    """Answer disputes, newest first."""
    return lists.page(tx, params, "dispute", "/v1/disputes", fields=("charge", "payment_intent"))


def _load(tx: Transaction, dispute_id: str) -> Body:
    dispute = tx.peek(dispute_id, "dispute")
    if dispute is None:
        raise missing("dispute", dispute_id)
    return dispute


@operation("GET", "/v1/radar/early_fraud_warnings/<id>", "radar.EarlyFraudWarningRetrieveParams")
def retrieve_warning(tx: Transaction, params: Body, warning_id: str) -> Body:  # noqa: ARG001
    """Answer an early fraud warning."""
    warning = tx.peek(warning_id, "radar.early_fraud_warning")
    if warning is None:
        raise missing("radar.early_fraud_warning", warning_id)
    return warning


@operation(
    "GET",
    "/v1/radar/early_fraud_warnings",
    "radar.EarlyFraudWarningListParams",
    accepts=f"charge created payment_intent {lists.PAGING}",
)
def list_warnings(tx: Transaction, params: Body) -> Body:
    """Answer early fraud warnings, newest first."""
    fields = ("charge", "payment_intent")
    url = "/v1/radar/early_fraud_warnings"
    return lists.page(tx, params, "radar.early_fraud_warning", url, fields=fields)
