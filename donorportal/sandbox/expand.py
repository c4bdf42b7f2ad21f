"""`expand`: put whole objects where the answer has ids."""

from collections.abc import Callable
from typing import Any

from donorportal.sandbox.errors import invalid
from donorportal.sandbox.objects import listing
from donorportal.sandbox.storage import Body, Transaction


def expand(tx: Transaction, body: Body, paths: list[str]) -> Body:
    """Expand dotted paths in an answer. Raises: ApiError for what cannot be expanded."""
    for path in paths:
        _expand(tx, body, path.split("."), path)
    return body


def _expand(tx: Transaction, place: Any, keys: list[str], path: str) -> None:
    if not keys or place is None:
        return
    if isinstance(place, list):
        for element in place:
            _expand(tx, element, keys, path)
        return
    key = keys[0]
    include = _INCLUDES.get((place.get("object", ""), key))
    if include is not None and place.get(key) is None:
        place[key] = include(tx, place)
    if key not in place:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    place[key] = _whole(tx, place[key], path)
    _expand(tx, place[key], keys[1:], path)


def _whole(tx: Transaction, value: Any, path: str) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_whole(tx, element, path) for element in value]
    if not isinstance(value, str):
        return value
    obj = tx.peek(value)
    if obj is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return obj


def _session_lines(tx: Transaction, session: Body) -> Body:
    lines = tx.private(session["id"]).get("line_items", [])
    return listing(f"/v1/checkout/sessions/{session['id']}/line_items", lines)


def _invoice_payments(tx: Transaction, invoice: Body) -> Body:
    return listing("/v1/invoice_payments", tx.find("invoice_payment", invoice=invoice["id"]))


def _charge_refunds(tx: Transaction, charge: Body) -> Body:
    found = tx.find("refund", charge=charge["id"])[::-1]
    return listing(f"/v1/charges/{charge['id']}/refunds", found)


def _customer_subscriptions(tx: Transaction, customer: Body) -> Body:
    live = [
        s
        for s in tx.find("subscription", customer=customer["id"])[::-1]
        if s["status"] not in {"canceled", "incomplete_expired"}
    ]
    return listing(f"/v1/customers/{customer['id']}/subscriptions", live)


_INCLUDES: dict[tuple[str, str], Callable[[Transaction, Body], Body]] = {
    ("checkout.session", "line_items"): _session_lines,
    ("invoice", "payments"): _invoice_payments,
    ("charge", "refunds"): _charge_refunds,
    ("customer", "subscriptions"): _customer_subscriptions,
}
