"""Completing a Checkout Session: the payment, the subscription or the saved card."""

from donorportal.sandbox import invoices, subscriptions
from donorportal.sandbox.cards import attach
from donorportal.sandbox.checkout import customer_details
from donorportal.sandbox.customers import create_customer
from donorportal.sandbox.events import emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.payments import card_error, clock_of, confirm, create_intent, succeed
from donorportal.sandbox.storage import Body, Transaction, new_id


def pay(
    tx: Transaction, session: Body, method: Body, *, authenticated: bool = False
) -> Body | None:
    """Complete an open session by a payment method.

    Returns the intent that stood in the way (declined, or asks for 3-D Secure), or None when the
    session is complete.
    """
    tx.checkout = True
    tx.enter_clock(clock_of(tx, session["customer"]))
    if session["mode"] == "setup":
        return _set_up(tx, session, method, authenticated=authenticated)
    customer = _customer_for(tx, session, method)
    intent = _intent_for(tx, session, customer)
    if authenticated:
        tx.set_private(method["id"], set_up=True)
        intent["payment_method"] = method["id"]
        intent = succeed(tx, intent, method)
    else:
        intent = confirm(tx, intent, method, on_page=True)
    if intent["status"] not in {"succeeded", "processing"}:
        return intent
    if customer and (session["mode"] == "subscription" or intent["setup_future_usage"]):
        attach(tx, method, customer)
    if session["mode"] == "subscription" and customer:
        _begin_subscription(tx, session, customer, method, intent)
    else:
        session["payment_intent"] = intent["id"]
    paid = intent["status"] == "succeeded"
    _complete(tx, session, method, customer, "paid" if paid else "unpaid")
    return None


def refuse_authentication(tx: Transaction, session: Body, method: Body) -> None:
    """Record that the donor did not get past the bank's page; the session stays open."""
    intent = tx.peek(tx.private(session["id"]).get("intent"))
    if intent is None:
        return
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": card_error("authentication_failed", None, method),
    }
    tx.save(intent)
    emit(tx, "payment_intent.payment_failed", intent)


def _customer_for(tx: Transaction, session: Body, method: Body) -> str | None:
    known: str | None = session["customer"] or tx.private(session["id"]).get("customer")
    if known or session["customer_creation"] != "always":
        return known
    billing = method["billing_details"]
    customer = create_customer(tx, {"email": billing["email"], "name": billing["name"]})
    tx.set_private(session["id"], customer=customer["id"])
    created: str = customer["id"]
    return created


def _intent_for(tx: Transaction, session: Body, customer: str | None) -> Body:
    private = tx.private(session["id"])
    if "intent" in private:
        return tx.load(private["intent"])
    data = private["payment_intent_data"]
    fields: Body = {
        "metadata": data.get("metadata", {}),
        "description": data.get("description"),
        "receipt_email": data.get("receipt_email"),
        "setup_future_usage": data.get("setup_future_usage"),
    }
    if session["mode"] == "subscription":
        fields |= {"description": "Subscription creation", "setup_future_usage": "off_session"}
    intent = create_intent(tx, session["amount_total"], session["currency"], customer, **fields)
    tx.set_private(session["id"], intent=intent["id"])
    return intent


def _begin_subscription(
    tx: Transaction, session: Body, customer: str, method: Body, intent: Body
) -> None:
    private = tx.private(session["id"])
    line, data = private["line_items"][0], private["subscription_data"]
    subscription = subscriptions.begin(tx, customer, line, method, data)
    invoice = invoices.draft(tx, subscription, "subscription_create")
    invoices.finalize(tx, invoice, intent)
    subscription["latest_invoice"] = invoice["id"]
    tx.save(subscription)
    emit(tx, "customer.subscription.created", subscription)
    if intent["status"] == "succeeded":
        invoices.mark_paid(tx, invoice)
    session |= {"subscription": subscription["id"], "invoice": invoice["id"]}


def _set_up(tx: Transaction, session: Body, method: Body, *, authenticated: bool) -> Body | None:
    behaviour = tx.private(method["id"])
    if behaviour.get("decline"):
        return _refuse_set_up(tx, session, method, behaviour["decline"])
    if behaviour.get("three_d_secure") and not authenticated:
        return {"status": "requires_action"}
    tx.set_private(method["id"], set_up=True)
    customer = _customer_for(tx, session, method)
    intent = _setup_intent(tx, session, method, customer, "succeeded")
    if customer:
        attach(tx, method, customer)
    emit(tx, "setup_intent.created", intent)
    emit(tx, "setup_intent.succeeded", intent)
    session["setup_intent"] = intent["id"]
    _complete(tx, session, method, customer, "no_payment_required")
    return None


def _refuse_set_up(tx: Transaction, session: Body, method: Body, decline: str) -> Body:
    error = card_error(decline, None, method)
    intent = _setup_intent(tx, session, method, session["customer"], "requires_payment_method")
    intent |= {"payment_method": None, "last_setup_error": error}
    tx.save(intent)
    emit(tx, "setup_intent.setup_failed", intent)
    return {"status": "requires_payment_method", "last_payment_error": error}


def _setup_intent(
    tx: Transaction, session: Body, method: Body, customer: str | None, status: str
) -> Body:
    data = tx.private(session["id"])["setup_intent_data"]
    intent = new(
        tx,
        "setup_intent",
        customer=customer,
        description=data.get("description"),
        metadata=data.get("metadata", {}),
        payment_method=method["id"],
        payment_method_options={},
        payment_method_types=[method["type"]],
        status=status,
        usage="off_session",
    )
    intent["client_secret"] = f"{intent['id']}_secret_{new_id('s')}"
    return tx.insert(intent)


def _complete(
    tx: Transaction, session: Body, method: Body, customer: str | None, payment_status: str
) -> None:
    tx.unschedule("expire_session", session["id"])
    billing = method["billing_details"]
    session |= {
        "customer": customer,
        "customer_details": customer_details(billing["email"], billing["name"]),
        "payment_status": payment_status,
        "status": "complete",
        "url": None,
    }
    tx.save(session)
    emit(tx, "checkout.session.completed", session)


def settle_later(tx: Transaction, intent: Body) -> None:
    """Tell the session of a bank debit what became of it."""
    for session in tx.find("checkout.session", payment_status="unpaid", status="complete"):
        if tx.private(session["id"]).get("intent") == intent["id"]:
            paid = intent["status"] == "succeeded"
            session["payment_status"] = "paid" if paid else "unpaid"
            tx.save(session)
            outcome = "succeeded" if paid else "failed"
            emit(tx, f"checkout.session.async_payment_{outcome}", session)
