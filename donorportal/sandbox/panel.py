"""What the control panel shows: the newest of everything, ready to print."""

from datetime import UTC, datetime
from typing import Any

from donorportal.sandbox import knobs
from donorportal.sandbox.cards import DEBITS
from donorportal.sandbox.checkout_pages import money
from donorportal.sandbox.storage import Body, Transaction

_SHOWN = 25


def view(tx: Transaction) -> dict[str, Any]:
    """Return the variables of `control.html`."""
    return {
        "now": _moment(tx.now),
        "knobs": knobs.read(tx),
        "charges": [_charge(tx, charge) for charge in _newest(tx, "charge")],
        "refunds": [_dated(refund) for refund in _newest(tx, "refund")],
        "subscriptions": [_subscription(tx, one) for one in _newest(tx, "subscription")],
        "disputes": [_dated(dispute) for dispute in _newest(tx, "dispute")],
        "payouts": [_dated(payout) for payout in _newest(tx, "payout")],
        "debits": [_dated(intent) for intent in tx.find("payment_intent", status="processing")],
        "events": [_event(tx, event) for event in _newest(tx, "event")],
        "requests": _requests(tx),
    }


def _newest(tx: Transaction, kind: str) -> list[Body]:
    rows = tx.sql.execute(
        "SELECT body FROM object WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, _SHOWN)
    )
    return [tx.parse(row["body"]) for row in rows]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _dated(thing: Body) -> Body:
    return thing | {
        "when": _moment(thing["created"]),
        "shown": money(thing["amount"], thing["currency"]),
    }


def _charge(tx: Transaction, charge: Body) -> Body:
    billed = charge["billing_details"].get("email")
    return _dated(charge) | {
        "who": billed or _email(tx, charge["customer"]),
        "debit": charge["payment_method_details"]["type"] in DEBITS,
    }


def _subscription(tx: Transaction, subscription: Body) -> Body:
    item = subscription["items"]["data"][0]
    price = item["price"]
    return subscription | {
        "who": _email(tx, subscription["customer"]),
        "shown": money(price["unit_amount"] * item.get("quantity", 1), price["currency"]),
        "interval": price["recurring"]["interval"],
        "next": _moment(item["current_period_end"]),
        "ended": subscription["status"] in {"canceled", "incomplete_expired"},
    }


def _email(tx: Transaction, customer: str | None) -> str:
    found = tx.peek(customer, "customer")
    return (found or {}).get("email") or ""


def _event(tx: Transaction, event: Body) -> Body:
    rows = tx.sql.execute(
        "SELECT state, attempts, answer FROM delivery WHERE event = ? ORDER BY seq", (event["id"],)
    )
    return event | {
        "when": _moment(event["created"]),
        "about": event["data"]["object"].get("id", ""),
        "deliveries": [dict(row) for row in rows],
    }


def _requests(tx: Transaction) -> list[Body]:
    rows = tx.sql.execute("SELECT * FROM request ORDER BY seq DESC LIMIT ?", (_SHOWN,))
    return [dict(row) | {"when": _moment(row["at"])} for row in rows]
