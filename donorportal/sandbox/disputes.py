"""Disputes and early fraud warnings: the donor's bank takes the money back, or asks about it."""

from donorportal.sandbox import balance, lists
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_DAY = 86_400
_FEE = 1500
OUTCOMES = ("won", "lost", "warning_closed")


def open_dispute(tx: Transaction, charge_id: str, *, warning: bool = False) -> Body:
    """Open a dispute over a whole charge, or only an inquiry that moves no money."""
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", charge_id)
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid("Only a charge that succeeded and is not yet disputed can be disputed.")
    details = minimal_part("dispute", "payment_method_details", "card")
    details |= {
        "brand": charge["payment_method_details"].get("card", {}).get("brand", "visa"),
        "case_type": "inquiry" if warning else "chargeback",
        "network_reason_code": "10.4",
    }
    dispute = new(
        tx,
        "dispute",
        amount=charge["amount"],
        balance_transactions=[],
        charge=charge_id,
        currency=charge["currency"],
        is_charge_refundable=warning,
        metadata={},
        payment_intent=charge["payment_intent"],
        payment_method_details={"type": "card", "card": details},
        reason="fraudulent",
        status="warning_needs_response" if warning else "needs_response",
    )
    dispute["evidence_details"]["due_by"] = tx.now + 7 * _DAY
    _tidy(dispute)
    if not warning:
        dispute["balance_transactions"] = [
            balance.move(tx, "adjustment", dispute, -charge["amount"], _FEE, category="dispute")
        ]
    tx.insert(dispute)
    emit(tx, "charge.dispute.created", dispute)
    _mark(tx, charge)
    if not warning:
        emit(tx, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(tx: Transaction, dispute_id: str, status: str) -> Body:
    """Decide a dispute; a won one brings the money back."""
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
        back = balance.move(
            tx, "adjustment", dispute, dispute["amount"], category="dispute_reversal"
        )
        dispute["balance_transactions"] = [*dispute["balance_transactions"], back]
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
