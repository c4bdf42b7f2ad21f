"""Checkout Sessions: opened by the API, completed on the hosted page, or expired."""

import time
from typing import Any

from donorportal.sandbox import lists
from donorportal.sandbox.cards import DEBITS
from donorportal.sandbox.customers import load_customer, price_from_data
from donorportal.sandbox.errors import ApiError, invalid, missing, unsupported
from donorportal.sandbox.events import emit
from donorportal.sandbox.objects import listing, new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.payments import cancel
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_MINUTE = 60
_SMALLEST = 50


@operation(
    "POST",
    "/v1/checkout/sessions",
    "checkout.SessionCreateParams",
    accepts="mode line_items success_url cancel_url client_reference_id customer customer_email"
    " customer_creation expires_at metadata payment_intent_data subscription_data"
    " setup_intent_data allowed_payment_method_types submit_type currency ui_mode",
    inert="locale adaptive_pricing billing_address_collection",
)
def create_session(tx: Transaction, params: Body) -> Body:
    """Open a session and give it its page."""
    mode = params.get("mode") or _need("mode")
    _check_parties(tx, params, mode)
    lines = _line_items(tx, params, mode)
    types = [
        t for t in params.get("allowed_payment_method_types", ["card"]) if t in {"card", *DEBITS}
    ]
    if not types:
        raise unsupported(
            "The sandbox pays by card and bank debit.", "allowed_payment_method_types"
        )
    currency = lines[0]["currency"] if lines else params.get("currency") or _need("currency")
    total = sum(line["amount_total"] for line in lines) if lines else None
    session = new(
        tx,
        "checkout.session",
        adaptive_pricing={"enabled": False} if mode == "payment" else None,
        allowed_payment_method_types=params.get("allowed_payment_method_types"),
        amount_subtotal=total,
        amount_total=total,
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=currency,
        customer=params.get("customer"),
        customer_creation=_customer_creation(params, mode),
        customer_email=params.get("customer_email"),
        expires_at=params.get("expires_at", tx.now + 86_400),
        locale=params.get("locale"),
        metadata=params.get("metadata", {}),
        mode=mode,
        origin_context=None,
        payment_method_collection="always" if mode == "subscription" else "if_required",
        payment_method_options={},
        payment_method_types=types,
        payment_status="no_payment_required" if mode == "setup" else "unpaid",
        status="open",
        submit_type=params.get("submit_type"),
        success_url=params.get("success_url") or _need("success_url"),
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
        if lines
        else None,
        ui_mode=params.get("ui_mode", "hosted_page"),
    )
    session["url"] = f"{tx.setting('public_url')}/c/pay/{session['id']}"
    if params.get("customer"):
        customer = tx.load(params["customer"])
        session["customer_details"] = customer_details(customer["email"], customer["name"])
    elif params.get("customer_email"):
        session["customer_details"] = customer_details(params["customer_email"], None)
    _set_expiry(tx, session, params)
    data = {
        name: params.get(name, {})
        for name in ("payment_intent_data", "subscription_data", "setup_intent_data")
    }
    tx.set_private(session["id"], line_items=lines, **data)
    return tx.insert(session)


def _need(name: str) -> Any:
    raise ApiError(
        400,
        f"Missing required param: {name}.",
        "parameter_missing",
        param=name,
        executed=False,
    )


def _check_parties(tx: Transaction, params: Body, mode: str) -> None:
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported("The sandbox has the hosted page only.", "ui_mode")
    if "customer" in params and "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    if "customer" in params:
        load_customer(tx, params["customer"], "customer")
    if mode == "subscription" and "customer_creation" in params:
        raise invalid(
            "`customer_creation` can only be used in `payment` and `setup` mode.",
            "customer_creation",
        )
    for name, wanted in _MODE_DATA.items():
        _check_data(name, params.get(name), fits=mode == wanted)


def _check_data(name: str, data: Body | None, *, fits: bool) -> None:
    if data is None:
        return
    if not fits:
        raise invalid(f"You can not pass `{name}` in this mode.", name)
    for inner in data:
        if inner not in _SUPPORTED_DATA:
            raise unsupported("The sandbox does not know this.", f"{name}[{inner}]")


_SUPPORTED_DATA = {"metadata", "description", "receipt_email", "setup_future_usage"}
_MODE_DATA = {
    "payment_intent_data": "payment",
    "subscription_data": "subscription",
    "setup_intent_data": "setup",
}


def _customer_creation(params: Body, mode: str) -> str | None:
    if "customer" in params:
        return None
    if mode == "subscription":
        return "always"
    return str(params.get("customer_creation", "if_required"))


def _line_items(tx: Transaction, params: Body, mode: str) -> list[Body]:
    given = params.get("line_items", [])
    if mode == "setup":
        if given:
            raise invalid("You can not pass `line_items` in `setup` mode.", "line_items")
        return []
    if not given:
        _need("line_items")
    if mode == "subscription" and len(given) != 1:
        raise unsupported("The sandbox's subscriptions have exactly one item.", "line_items")
    lines = [_line_item(tx, item, position, mode) for position, item in enumerate(given)]
    if len({line["currency"] for line in lines}) != 1:
        raise invalid("All line items must use the same currency.", "line_items")
    total = sum(line["amount_total"] for line in lines)
    if total < _SMALLEST and (mode == "payment" or total > 0):
        message = "The Checkout Session's total amount due is below the smallest charge."
        raise invalid(message, code="amount_too_small")
    return lines


def _line_item(tx: Transaction, item: Body, position: int, mode: str) -> Body:
    param = f"line_items[{position}]"
    if set(item) - {"price_data", "quantity"} or "price_data" not in item:
        raise unsupported("The sandbox's line items are price_data and quantity.", param)
    price = price_from_data(tx, item["price_data"], f"{param}[price_data]")
    if (price["recurring"] is not None) != (mode == "subscription"):
        raise invalid(
            "Monthly gifts need mode=subscription and a recurring price, others neither.", "mode"
        )
    quantity = item.get("quantity", 1)
    amount = price["unit_amount"] * quantity
    return new(
        tx,
        "item",
        amount_subtotal=amount,
        amount_total=amount,
        currency=price["currency"],
        description=tx.load(price["product"])["name"],
        metadata={},
        price=price,
        quantity=quantity,
    )


def _set_expiry(tx: Transaction, session: Body, params: Body) -> None:
    due = session["expires_at"]
    if "expires_at" in params:
        # The caller's clock may not have been skipped ahead as ours was: the span is what counts.
        spans = (params["expires_at"] - now for now in (int(time.time()), tx.now))
        span = next((s for s in spans if 29 * _MINUTE <= s <= 24 * 60 * _MINUTE + _MINUTE), None)
        if span is None:
            raise invalid(
                "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.",
                "expires_at",
            )
        due = tx.now + span
    tx.schedule(due, "expire_session", session["id"])


def customer_details(email: str | None, name: str | None) -> Body:
    """Return who pays, as a session shows it."""
    details = minimal_part("checkout.session", "customer_details")
    return details | {"email": email, "name": name, "tax_exempt": "none", "tax_ids": []}


def expire(tx: Transaction, session: Body) -> Body:
    """Close an open session unpaid."""
    tx.unschedule("expire_session", session["id"])
    session |= {"status": "expired", "url": None}
    tx.save(session)
    emit(tx, "checkout.session.expired", session)
    # There is one only if somebody tried to pay.
    intent = tx.peek(tx.private(session["id"]).get("intent"), "payment_intent")
    if intent is not None:
        cancel(tx, intent, "expired")
    return session


def load_session(tx: Transaction, session_id: str) -> Body:
    """Return a session. Raises: ApiError when there is none."""
    session = tx.peek(session_id, "checkout.session")
    if session is None:
        raise missing("checkout.session", session_id)
    return session


@operation("GET", "/v1/checkout/sessions/<id>", "checkout.SessionRetrieveParams")
def retrieve_session(tx: Transaction, params: Body, session_id: str) -> Body:  # noqa: ARG001
    """Answer a session."""
    return load_session(tx, session_id)


@operation(
    "GET",
    "/v1/checkout/sessions",
    "checkout.SessionListParams",
    accepts=f"created customer payment_intent subscription status {lists.PAGING}",
)
def list_sessions(tx: Transaction, params: Body) -> Body:
    """Answer sessions, newest first."""
    fields = ("customer", "payment_intent", "subscription", "status")
    return lists.page(tx, params, "checkout.session", "/v1/checkout/sessions", fields=fields)


@operation("POST", "/v1/checkout/sessions/<id>/expire", "checkout.SessionExpireParams")
def expire_session(tx: Transaction, params: Body, session_id: str) -> Body:  # noqa: ARG001
    """Expire a session which is still open."""
    session = load_session(tx, session_id)
    if session["status"] != "open":
        raise invalid(
            f"Only Checkout Sessions with a status in ['open'] can be expired. This Checkout"
            f" Session has a status of {session['status']}."
        )
    return expire(tx, session)


@operation(
    "GET",
    "/v1/checkout/sessions/<id>/line_items",
    "checkout.SessionListLineItemsParams",
    accepts=lists.PAGING,
)
def session_line_items(tx: Transaction, params: Body, session_id: str) -> Body:  # noqa: ARG001
    """Answer what a session sells."""
    load_session(tx, session_id)
    lines = tx.private(session_id)["line_items"]
    return listing(f"/v1/checkout/sessions/{session_id}/line_items", lines)
