"""Bank debits that come back weeks after they arrived."""

from donorportal.sandbox import balance, disputes
from donorportal.sandbox.cards import DEBITS
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.storage import Body, Transaction

_REASONS = {
    "bank_cannot_process",
    "debit_not_authorized",
    "incorrect_account_details",
    "insufficient_funds",
}


def return_debit(
    tx: Transaction, charge_id: str, how: str = "dispute", reason: str = "insufficient_funds"
) -> Body:
    """Take a bank debit that had succeeded back; returns the dispute, or the failed charge.

    As a `dispute` it is lost at once; as a `failure` the charge itself fails after all.
    """
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", charge_id)
    if charge["payment_method_details"]["type"] not in DEBITS or charge["status"] != "succeeded":
        raise invalid("Only a bank debit that succeeded comes back.", "charge")
    if reason not in _REASONS:
        raise invalid(f"A debit comes back for one of: {', '.join(sorted(_REASONS))}.", "reason")
    if how == "dispute":
        return disputes.open_dispute(tx, charge_id, reason=reason, final=True)
    if how != "failure":
        raise invalid("A debit comes back as dispute or failure.", "how")
    return _fail(tx, charge, reason)


def _fail(tx: Transaction, charge: Body, reason: str) -> Body:
    before = dict(charge)
    message = "The customer's bank returned this payment."
    left = charge["amount"] - charge["amount_refunded"]
    back = balance.move(tx, "payment_failure_refund", charge, -left, category="charge_failure")
    charge |= {
        "status": "failed",
        "paid": False,
        "failure_balance_transaction": back["id"],
        "failure_code": reason,
        "failure_message": message,
    }
    tx.save(charge)
    emit(tx, "charge.failed", charge, changed(before, charge))
    intent = tx.load(charge["payment_intent"])
    intent |= {
        "status": "requires_payment_method",
        "amount_received": 0,
        "payment_method": None,
        "last_payment_error": {
            "type": "card_error",
            "code": "payment_intent_payment_attempt_failed",
            "message": message,
            "charge": charge["id"],
        },
    }
    tx.save(intent)
    emit(tx, "payment_intent.payment_failed", intent)
    return charge
