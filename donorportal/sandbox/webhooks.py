"""Webhook endpoints and the record of events."""

import re

from donorportal.sandbox import lists
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.objects import API_VERSION, merge_metadata, new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction, new_id

_LOCAL = re.compile(r"https?://[^\s/]+(/\S*)?")
_MOST_TYPES = 20
_UNDELIVERED = "id IN (SELECT event FROM delivery WHERE state != 'delivered')"
_KEPT = 30 * 86_400


@operation(
    "POST",
    "/v1/webhook_endpoints",
    "WebhookEndpointCreateParams",
    accepts="url enabled_events api_version description metadata",
)
def create_endpoint(tx: Transaction, params: Body) -> Body:
    """Create an endpoint; only this answer carries its secret."""
    _check_endpoint(params)
    endpoint = new(
        tx,
        "webhook_endpoint",
        api_version=params.get("api_version", API_VERSION),
        description=params.get("description"),
        enabled_events=params["enabled_events"],
        metadata=merge_metadata({}, params.get("metadata")),
        status="enabled",
        url=params["url"],
    )
    secret = "whsec_" + new_id("s")[2:]
    tx.set_private(endpoint["id"], secret=secret)
    tx.insert(endpoint)
    return endpoint | {"secret": secret}


def _check_endpoint(params: Body) -> None:
    if "url" in params and not _LOCAL.fullmatch(params["url"]):
        raise invalid("Invalid URL.", "url", "url_invalid")
    if params.get("api_version", API_VERSION) != API_VERSION:
        raise invalid(f"The sandbox speaks {API_VERSION} only.", "api_version")


@operation("GET", "/v1/webhook_endpoints/<id>", "WebhookEndpointRetrieveParams")
def retrieve_endpoint(tx: Transaction, params: Body, endpoint_id: str) -> Body:  # noqa: ARG001
    """Answer an endpoint without its secret."""
    return _load(tx, endpoint_id)


@operation("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams", accepts=lists.PAGING)
def list_endpoints(tx: Transaction, params: Body) -> Body:
    """Answer endpoints, newest first."""
    return lists.page(tx, params, "webhook_endpoint", "/v1/webhook_endpoints")


@operation(
    "POST",
    "/v1/webhook_endpoints/<id>",
    "WebhookEndpointUpdateParams",
    accepts="url enabled_events disabled description metadata",
)
def update_endpoint(tx: Transaction, params: Body, endpoint_id: str) -> Body:
    """Change an endpoint."""
    endpoint = _load(tx, endpoint_id)
    _check_endpoint(params)
    for name in ("url", "enabled_events", "description"):
        if name in params:
            endpoint[name] = params[name]
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    endpoint["metadata"] = merge_metadata(endpoint["metadata"], params.get("metadata"))
    return tx.save(endpoint)


@operation("DELETE", "/v1/webhook_endpoints/<id>", "WebhookEndpointDeleteParams")
def delete_endpoint(tx: Transaction, params: Body, endpoint_id: str) -> Body:  # noqa: ARG001
    """Remove an endpoint and what was still to be delivered to it."""
    _load(tx, endpoint_id)
    tx.delete(endpoint_id)
    tx.sql.execute(
        "DELETE FROM delivery WHERE endpoint = ? AND state != 'delivered'", (endpoint_id,)
    )
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def _load(tx: Transaction, endpoint_id: str) -> Body:
    endpoint = tx.peek(endpoint_id, "webhook_endpoint")
    if endpoint is None:
        raise missing("webhook_endpoint", endpoint_id)
    return endpoint


@operation("GET", "/v1/events/<id>", "EventRetrieveParams")
def retrieve_event(tx: Transaction, params: Body, event_id: str) -> Body:  # noqa: ARG001
    """Answer an event as it was sent."""
    event = tx.peek(event_id, "event")
    if event is None:
        raise missing("event", event_id)
    return _with_pending(tx, event)


@operation(
    "GET",
    "/v1/events",
    "EventListParams",
    accepts=f"created delivery_success type types {lists.PAGING}",
)
def list_events(tx: Transaction, params: Body) -> Body:
    """Answer events, newest first, by type and by whether they were delivered."""
    query = lists.Query("event", params)
    if "type" in params and "types" in params:
        raise invalid("You may pass either `type` or `types`, but not both.", "types")
    if "type" in params:
        query.add("json_extract(body, '$.type') GLOB ?", params["type"])
    if "types" in params:
        if len(params["types"]) > _MOST_TYPES:
            raise invalid("At most 20 types.", "types")
        marks = ", ".join("?" * len(params["types"]))
        query.add(f"json_extract(body, '$.type') IN ({marks})", *params["types"])
    if "delivery_success" in params:
        query.add(_UNDELIVERED if not params["delivery_success"] else f"NOT {_UNDELIVERED}")
    query.add("created >= ?", tx.now - _KEPT)
    found = lists.fetch(tx, params, "/v1/events", query)
    found["data"] = [_with_pending(tx, event) for event in found["data"]]
    return found


def _with_pending(tx: Transaction, event: Body) -> Body:
    row = tx.sql.execute(
        "SELECT count(DISTINCT endpoint) AS n FROM delivery"
        " WHERE event = ? AND state != 'delivered'",
        (event["id"],),
    ).fetchone()
    return event | {"pending_webhooks": row["n"]}
