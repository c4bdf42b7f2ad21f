"""PaymentIntents and charges: trying to take money by a payment method."""

from donorportal.sandbox import balance, disputes, knobs, lists
from donorportal.sandbox.cards import DEBITS
from donorportal.sandbox.declines import DECLINES
from donorportal.sandbox.errors import missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction, new_id
from donorportal.sandbox.typecheck import minimal_part

_DAY = 86_400
# What Stripe leaves out of a charge's payment method rather than answering null.
_ABSENT_DETAILS = (
    "authorization_code",
    "capture_before",
    "description",
    "electronic_commerce_indicator",
    "expected_debit_date",
    "extended_authorization",
    "iin",
    "incremental_authorization",
    "issuer",
    "moto",
    "multicapture",
    "network_transaction_id",
    "overcapture",
    "setup_credential_usage",
    "stored_credential_usage",
)


def create_intent(
    tx: Transaction, amount: int, currency: str, customer: str | None, **fields: object
) -> Body:
    """Store an intent to take an amount in minor units."""
    intent = new(
        tx,
        "payment_intent",
        amount=amount,
        currency=currency,
        customer=customer,
        capture_method="automatic_async",
        payment_method_options={},
        payment_method_types=["card"],
        status="requires_payment_method",
    )
    intent |= fields
    intent["client_secret"] = f"{intent['id']}_secret_{new_id('s')}"
    tx.insert(intent)
    emit(tx, "payment_intent.created", intent)
    return intent


def confirm(
    tx: Transaction, intent: Body, method: Body, *, on_page: bool, authenticated: bool = False
) -> Body:
    """Try to take the money; the intent's new status says how it went.

    It ends as `succeeded`, `processing` (bank debit), `requires_action` (3-D Secure) or
    `requires_payment_method` (declined, see `last_payment_error`).
    """
    intent["payment_method"] = method["id"]
    intent["payment_method_types"] = [method["type"]]
    if method["type"] in DEBITS:
        return _begin_debit(tx, intent, method)
    decline = knobs.take_card_outcome(tx) or _decline_of(
        tx, method, on_page=on_page, authenticated=authenticated
    )
    if decline is not None:
        return fail(tx, intent, method, decline)
    if on_page and tx.private(method["id"]).get("three_d_secure") and not authenticated:
        return _ask_for_authentication(tx, intent)
    return succeed(tx, intent, method)


def _decline_of(tx: Transaction, method: Body, *, on_page: bool, authenticated: bool) -> str | None:
    behaviour = tx.private(method["id"])
    needs = behaviour.get("three_d_secure") and not behaviour.get("set_up")
    if needs and not on_page and not authenticated:
        return "authentication_required"
    declined: str | None = behaviour.get("decline") or behaviour.get("later")
    return None if authenticated and declined == "authentication_required" else declined


def _ask_for_authentication(tx: Transaction, intent: Body) -> Body:
    intent["status"] = "requires_action"
    intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
    tx.save(intent)
    emit(tx, "payment_intent.requires_action", intent)
    return intent


def fail(tx: Transaction, intent: Body, method: Body, decline: str) -> Body:
    """Record a declined attempt."""
    code, message = DECLINES[decline]
    charge = _charge(tx, intent, method, status="failed")
    charge |= {"failure_code": code, "failure_message": message}
    charge["outcome"] = _outcome(
        "issuer_declined",
        network_status="declined_by_network",
        reason=decline,
        seller_message="The bank declined the payment.",
    )
    tx.insert(charge)
    emit(tx, "charge.failed", charge)
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "latest_charge": charge["id"],
        "last_payment_error": card_error(decline, charge["id"], method),
    }
    tx.save(intent)
    emit(tx, "payment_intent.payment_failed", intent)
    return intent


def card_error(decline: str, charge: str | None, method: Body | None) -> Body:
    """Describe a decline as `last_payment_error` and error answers do."""
    code, message = DECLINES[decline]
    error: Body = {"type": "card_error", "code": code, "message": message}
    if charge is not None:
        error["charge"] = charge
    error["doc_url"] = f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}"
    if code in {"card_declined", "authentication_required"}:
        error["decline_code"] = decline
    if method is not None:
        error["payment_method"] = method
    return error


def succeed(tx: Transaction, intent: Body, method: Body) -> Body:
    """Record a successful attempt with its fee."""
    charge = _charge(tx, intent, method, status="succeeded")
    charge |= {"amount_captured": charge["amount"], "captured": True, "paid": True}
    charge["outcome"] = _outcome(
        "authorized",
        network_status="approved_by_network",
        risk_level="normal",
        seller_message="Payment complete.",
    )
    tx.insert(charge)
    settings = knobs.read(tx)
    if settings["balance_pending"]:
        tx.schedule(tx.now + 60, "book_charge", charge["id"], clock_of(tx, intent["customer"]))
    else:
        book_charge(tx, charge)
    emit(tx, "charge.succeeded", charge)
    _received(tx, intent, charge)
    behaviour = tx.private(method["id"])
    if settings["early_fraud_warning"] or behaviour.get("fraud_warning"):
        disputes.warn_of_fraud(tx, charge["id"])
    if behaviour.get("dispute"):
        disputes.open_dispute(tx, charge["id"], reason=behaviour["dispute"])
    return intent


def cancel(tx: Transaction, intent: Body, reason: str) -> None:
    """Cancel an intent that has taken nothing; one that ended stays as it is."""
    if intent["status"] in {"succeeded", "canceled"}:
        return
    intent |= {
        "status": "canceled",
        "canceled_at": tx.now,
        "cancellation_reason": reason,
        "next_action": None,
    }
    tx.save(intent)
    emit(tx, "payment_intent.canceled", intent)


def book_charge(tx: Transaction, charge: Body) -> None:
    """Give a charge its balance transaction."""
    kind = "payment" if charge["payment_method_details"]["type"] in DEBITS else "charge"
    gross = balance.worth(tx, charge["amount"], charge["currency"])
    fee = balance.processing_fee(tx, gross)
    movement = balance.move(tx, kind, charge, charge["amount"], fee, category="charge")
    charge["balance_transaction"] = movement["id"]
    tx.save(charge)


def _received(tx: Transaction, intent: Body, charge: Body) -> None:
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
    }
    tx.save(intent)
    emit(tx, "payment_intent.succeeded", intent)


def _begin_debit(tx: Transaction, intent: Body, method: Body) -> Body:
    charge = _charge(tx, intent, method, status="pending")
    charge |= {"amount_captured": charge["amount"], "captured": True}
    tx.insert(charge)
    intent |= {"status": "processing", "latest_charge": charge["id"]}
    tx.save(intent)
    emit(tx, "charge.pending", charge)
    emit(tx, "payment_intent.processing", intent)
    due = tx.now + knobs.read(tx)["async_days"] * _DAY
    tx.schedule(due, "settle_debit", intent["id"], clock_of(tx, intent["customer"]))
    return intent


def finish_debit(tx: Transaction, intent: Body, *, succeeded: bool) -> Body:
    """Let a bank debit arrive or bounce."""
    tx.unschedule("settle_debit", intent["id"])
    charge = tx.load(intent["latest_charge"])
    before = dict(charge)
    if succeeded:
        charge |= {"status": "succeeded", "paid": True}
        book_charge(tx, charge)
        emit(tx, "charge.succeeded", charge, changed(before, charge))
        _received(tx, intent, charge)
        return intent
    message = "The customer's account has insufficient funds to cover this payment."
    charge |= {
        "status": "failed",
        "captured": False,
        "amount_captured": 0,
        "failure_code": "insufficient_funds",
        "failure_message": message,
    }
    tx.save(charge)
    emit(tx, "charge.failed", charge, changed(before, charge))
    error = {"type": "card_error", "code": "payment_intent_payment_attempt_failed"}
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": error | {"message": message, "charge": charge["id"]},
        "payment_method": None,
    }
    tx.save(intent)
    emit(tx, "payment_intent.payment_failed", intent)
    return intent


def _charge(tx: Transaction, intent: Body, method: Body, status: str) -> Body:
    kind = method["type"]
    details = minimal_part("charge", "payment_method_details", kind)
    if kind == "us_bank_account":
        del details["mandate"]
    details |= {k: v for k, v in method[kind].items() if k in details and k != "networks"}
    for absent in _ABSENT_DETAILS:
        details.pop(absent, None)
    if kind == "card":
        details |= {"network": details["brand"], "amount_authorized": intent["amount"]}
    return new(
        tx,
        "charge",
        amount=intent["amount"],
        billing_details=method["billing_details"],
        calculated_statement_descriptor="SANDBOX",
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        fraud_details={},
        metadata=dict(intent["metadata"]),
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"type": kind, kind: details},
        receipt_email=intent["receipt_email"],
        refunded=False,
        status=status,
    )


def _outcome(kind: str, **fields: str) -> Body:
    outcome = minimal_part("charge", "outcome") | {"type": kind} | fields
    for absent in ("risk_level", "risk_score", "rule"):
        if outcome[absent] is None:
            del outcome[absent]
    return outcome


def clock_of(tx: Transaction, customer: str | None) -> str | None:
    """Return the test clock that a customer lives on, if any."""
    found = tx.peek(customer, "customer") if customer else None
    clock: str | None = found["test_clock"] if found else None
    return clock


@operation("GET", "/v1/payment_intents/<id>", "PaymentIntentRetrieveParams")
def retrieve_intent(tx: Transaction, params: Body, intent_id: str) -> Body:  # noqa: ARG001
    """Answer a PaymentIntent."""
    intent = tx.peek(intent_id, "payment_intent")
    if intent is None:
        raise missing("payment_intent", intent_id)
    return intent


@operation(
    "GET",
    "/v1/payment_intents",
    "PaymentIntentListParams",
    accepts=f"created customer {lists.PAGING}",
)
def list_intents(tx: Transaction, params: Body) -> Body:
    """Answer PaymentIntents, newest first."""
    return lists.page(tx, params, "payment_intent", "/v1/payment_intents", fields=("customer",))


@operation("GET", "/v1/setup_intents/<id>", "SetupIntentRetrieveParams")
def retrieve_setup_intent(tx: Transaction, params: Body, intent_id: str) -> Body:  # noqa: ARG001
    """Answer a SetupIntent."""
    intent = tx.peek(intent_id, "setup_intent")
    if intent is None:
        raise missing("setup_intent", intent_id)
    return intent


@operation(
    "GET",
    "/v1/setup_intents",
    "SetupIntentListParams",
    accepts=f"created customer payment_method {lists.PAGING}",
)
def list_setup_intents(tx: Transaction, params: Body) -> Body:
    """Answer SetupIntents, newest first."""
    fields = ("customer", "payment_method")
    return lists.page(tx, params, "setup_intent", "/v1/setup_intents", fields=fields)


@operation("GET", "/v1/charges/<id>", "ChargeRetrieveParams")
def retrieve_charge(tx: Transaction, params: Body, charge_id: str) -> Body:  # noqa: ARG001
    """Answer a charge."""
    charge = tx.peek(charge_id, "charge")
    if charge is None:
        raise missing("charge", charge_id)
    return charge


@operation(
    "GET",
    "/v1/charges",
    "ChargeListParams",
    accepts=f"created customer payment_intent {lists.PAGING}",
)
def list_charges(tx: Transaction, params: Body) -> Body:
    """Answer charges, newest first."""
    fields = ("customer", "payment_intent")
    return lists.page(tx, params, "charge", "/v1/charges", fields=fields)
