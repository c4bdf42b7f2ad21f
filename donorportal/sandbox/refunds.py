"""Refunds: all or part of a charge goes back, at once, later, or not at all."""

from donorportal.sandbox import balance, disputes, knobs, lists
from donorportal.sandbox.cards import DEBITS
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import merge_metadata, new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.payments import clock_of
from donorportal.sandbox.storage import Body, Transaction

_DAY = 86_400
_CARD_DESTINATION = {
    "reference_status": "pending",
    "reference_type": "acquirer_reference_number",
    "type": "refund",
}


@operation(
    "POST",
    "/v1/refunds",
    "RefundCreateParams",
    accepts="amount charge payment_intent reason metadata currency",
)
def create_refund(tx: Transaction, params: Body) -> Body:
    """Send money back. Raises: ApiError when more is asked than is left."""
    charge = _charge_to_refund(tx, params)
    tx.enter_clock(clock_of(tx, charge["customer"]))
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    _check_amount(tx, charge, amount, left)
    settings, debit = knobs.read(tx), charge["payment_method_details"]["type"] in DEBITS
    outcome = tx.private(charge["payment_method"]).get("refund") or settings["refund_outcome"]
    refund = new(
        tx,
        "refund",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        metadata=merge_metadata({}, params.get("metadata")),
        payment_intent=charge["payment_intent"],
        reason=params.get("reason"),
        status="succeeded" if outcome == "succeeded" else "pending",
    )
    if not debit:
        refund["destination_details"] = {"type": "card", "card": dict(_CARD_DESTINATION)}
    if refund["status"] == "pending":
        refund["pending_reason"] = "processing"
    kind = "payment_refund" if debit else "refund"
    movement = balance.move(tx, kind, refund, -amount, category="refund")
    refund["balance_transaction"] = movement["id"]
    tx.insert(refund)
    _count(tx, charge, amount)
    emit(tx, "refund.created", refund)
    if outcome != "succeeded":
        clock = clock_of(tx, charge["customer"])
        tx.set_private(refund["id"], outcome=outcome)
        due = tx.now + settings["refund_days"] * _DAY
        tx.schedule(due, "settle_refund", refund["id"], clock)
    return refund


def _charge_to_refund(tx: Transaction, params: Body) -> Body:
    if ("charge" in params) == ("payment_intent" in params):
        raise invalid("One of charge and payment_intent is required.", "charge")
    charge_id = params.get("charge")
    if charge_id is None:
        intent = tx.peek(params["payment_intent"], "payment_intent")
        if intent is None:
            raise missing("payment_intent", params["payment_intent"], "payment_intent")
        charge_id = intent["latest_charge"]
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", str(charge_id), "charge")
    return charge


def _check_amount(tx: Transaction, charge: Body, amount: int, left: int) -> None:
    if charge["status"] != "succeeded":
        raise invalid("This charge has not succeeded.", "charge", "charge_not_refundable")
    if disputes.blocks_refunds(tx, charge["id"]):
        raise invalid(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            "charge",
            "charge_disputed",
        )
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.",
            "charge",
            "charge_already_refunded",
        )
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            "amount",
        )


def _count(tx: Transaction, charge: Body, amount: int) -> None:
    before = dict(charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    tx.save(charge)
    if amount > 0:
        emit(tx, "charge.refunded", charge, changed(before, charge))


def settle_pending(tx: Transaction, refund: Body) -> None:
    """End a pending refund as was chosen when it was made."""
    if refund["status"] == "pending":
        settle(tx, refund, tx.private(refund["id"]).get("outcome", "succeeded"))


def settle(
    tx: Transaction, refund: Body, outcome: str, reason: str = "lost_or_stolen_card"
) -> Body:
    """Let a pending refund arrive; or let one fail, even weeks after it succeeded.

    The money of a failed refund comes back to us, and can be refunded again.
    """
    before = {"status": refund["status"]}
    if outcome == "failed" and refund["status"] in {"pending", "succeeded"}:
        return _fail(tx, refund, before, reason)
    if refund["status"] != "pending" or outcome not in {"succeeded", "pending"}:
        raise invalid(f"A refund that is {refund['status']} cannot become {outcome!r}.", "outcome")
    refund["status"] = "succeeded"
    refund.pop("pending_reason", None)
    tx.unschedule("settle_refund", refund["id"])
    tx.save(refund)
    emit(tx, "refund.updated", refund, before)
    return refund


def _fail(tx: Transaction, refund: Body, before: Body, reason: str) -> Body:
    tx.unschedule("settle_refund", refund["id"])
    back = balance.move(tx, "refund_failure", refund, refund["amount"], category="refund_failure")
    refund |= {
        "status": "failed",
        "failure_reason": reason,
        "failure_balance_transaction": back["id"],
    }
    refund.pop("pending_reason", None)
    tx.save(refund)
    _count(tx, tx.load(refund["charge"]), -refund["amount"])
    emit(tx, "refund.failed", refund, before)
    emit(tx, "refund.updated", refund, before)
    return refund


@operation("GET", "/v1/refunds/<id>", "RefundRetrieveParams")
def retrieve_refund(tx: Transaction, params: Body, refund_id: str) -> Body:  # noqa: ARG001
    """Answer a refund."""
    return load_refund(tx, refund_id)


@operation(
    "GET",
    "/v1/refunds",
    "RefundListParams",
    accepts=f"created charge payment_intent {lists.PAGING}",
)
def list_refunds(tx: Transaction, params: Body) -> Body:
    """Answer refunds, newest first."""
    return lists.page(tx, params, "refund", "/v1/refunds", fields=("charge", "payment_intent"))


@operation("POST", "/v1/refunds/<id>", "RefundUpdateParams", accepts="metadata")
def update_refund(tx: Transaction, params: Body, refund_id: str) -> Body:
    """Change a refund's metadata."""
    refund = load_refund(tx, refund_id)
    before = dict(refund)
    refund["metadata"] = merge_metadata(refund["metadata"], params.get("metadata"))
    tx.save(refund)
    emit(tx, "refund.updated", refund, changed(before, refund))
    return refund


def load_refund(tx: Transaction, refund_id: str) -> Body:
    """Return a refund. Raises: ApiError when there is none."""
    refund = tx.peek(refund_id, "refund")
    if refund is None:
        raise missing("refund", refund_id)
    return refund
