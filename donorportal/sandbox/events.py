"""Events: what happened, as Stripe tells it, queued for each endpoint that asked."""

import json
import time
from typing import Any

from donorportal.sandbox import knobs
from donorportal.sandbox.honesty import vouch
from donorportal.sandbox.objects import API_VERSION, new
from donorportal.sandbox.storage import Body, Transaction


def emit(tx: Transaction, kind: str, obj: Body, previous: Body | None = None) -> Body:
    """Store an event about an object's present state and queue it for the endpoints."""
    data: Body = {"object": json.loads(json.dumps(obj))}
    if previous is not None:
        data["previous_attributes"] = previous
    endpoints = [e for e in tx.find("webhook_endpoint", status="enabled") if _wants(e, kind)]
    event = new(
        tx,
        "event",
        api_version=API_VERSION,
        data=data,
        pending_webhooks=len(endpoints),
        request=dict(tx.request),
        type=kind,
    )
    if tx.checking:
        vouch(obj)
        vouch(event)
    tx.insert(event)
    tx.emitted.append(event["id"])
    for endpoint in endpoints:
        _queue(tx, event["id"], endpoint["id"])
    return event


def changed(old: Body, obj: Body) -> Body:
    """Return the former values of the fields that differ, as `previous_attributes`."""
    return {k: v for k, v in old.items() if obj.get(k) != v}


def _queue(tx: Transaction, event: str, endpoint: str) -> None:
    settings = knobs.read(tx)
    state, due = "pending", time.time() + settings["webhook_delay_seconds"]
    if settings["webhook_timing"] == "never":
        state = "withheld"
    elif tx.checkout and settings["webhook_timing"] == "before":
        state = "held"
    elif tx.checkout and settings["webhook_timing"] == "after":
        due += 1
    if settings["webhook_reorder"]:
        # The newest event of a transaction goes first, the others well apart behind it.
        marks = ", ".join("?" * len(tx.emitted))
        tx.sql.execute(f"UPDATE delivery SET due = due + 0.4 WHERE event IN ({marks})", tx.emitted)  # noqa: S608
    if knobs.take_drop(tx):
        state = "dropped"
    for _ in range(settings["webhook_duplicate"]):
        tx.sql.execute(
            "INSERT INTO delivery (event, endpoint, state, due) VALUES (?, ?, ?, ?)",
            (event, endpoint, state, due),
        )


def _wants(endpoint: Body, kind: str) -> bool:
    enabled: list[Any] = endpoint["enabled_events"]
    return "*" in enabled or kind in enabled
