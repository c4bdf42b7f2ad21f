"""What the API offers on subscriptions: read, change, pause, resume, cancel."""

from copy import deepcopy
from typing import Any

from donorportal.sandbox import invoices, lists, subscriptions
from donorportal.sandbox.cards import load_method
from donorportal.sandbox.customers import price_from_data
from donorportal.sandbox.errors import invalid, unsupported
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import merge_metadata
from donorportal.sandbox.operations import operation
from donorportal.sandbox.periods import period_end
from donorportal.sandbox.storage import Body, Transaction

_INTERVAL = ("interval", "interval_count")


@operation("GET", "/v1/subscriptions/<id>", "SubscriptionRetrieveParams")
def retrieve_subscription(tx: Transaction, params: Body, subscription_id: str) -> Body:  # noqa: ARG001
    """Answer a subscription."""
    return subscriptions.load_subscription(tx, subscription_id)


@operation(
    "GET",
    "/v1/subscriptions",
    "SubscriptionListParams",
    accepts=f"created customer status test_clock {lists.PAGING}",
)
def list_subscriptions(tx: Transaction, params: Body) -> Body:
    """Answer subscriptions; cancelled ones only when they are asked for."""
    query = lists.Query("subscription", params, "customer", "test_clock")
    status = params.get("status")
    if status is None:
        query.add("json_extract(body, '$.status') NOT IN ('canceled', 'incomplete_expired')")
    elif status == "ended":
        query.add("json_extract(body, '$.status') IN ('canceled', 'incomplete_expired')")
    elif status != "all":
        query.equal("status", status)
    return lists.fetch(tx, params, "/v1/subscriptions", query)


@operation(
    "POST",
    "/v1/subscriptions/<id>",
    "SubscriptionUpdateParams",
    accepts="items metadata default_payment_method pause_collection cancel_at_period_end"
    " trial_end proration_behavior description cancellation_details billing_cycle_anchor",
    inert="payment_behavior off_session",
)
def update_subscription(tx: Transaction, params: Body, subscription_id: str) -> Body:
    """Change a subscription's gift, card, day, pause or end."""
    subscription = subscriptions.load_subscription(tx, subscription_id)
    if subscription["status"] in subscriptions.ENDED:
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
            code="resource_missing",
        )
    before = deepcopy(subscription)
    if "items" in params:
        _change_items(tx, subscription, params)
    if "trial_end" in params:
        _change_day(tx, subscription, params)
    if params.get("billing_cycle_anchor", "unchanged") != "unchanged":
        raise unsupported("Use trial_end to move the day.", "billing_cycle_anchor")
    _change_plain(tx, subscription, params)
    if "pause_collection" in params:
        _change_pause(tx, subscription, params["pause_collection"])
    tx.save(subscription)
    difference = changed(before, subscription)
    if difference:
        emit(tx, "customer.subscription.updated", subscription, difference)
    return subscription


def _change_items(tx: Transaction, subscription: Body, params: Body) -> None:
    item = subscription["items"]["data"][0]
    (given, *more) = params["items"]
    if more or given.get("id") != item["id"]:
        raise unsupported("The sandbox keeps exactly one item; name its id.", "items")
    if "price_data" not in given:
        raise unsupported("The sandbox changes items by price_data only.", "items")
    price = price_from_data(tx, given["price_data"], "items[0][price_data]")
    if price["currency"] != subscription["currency"]:
        raise invalid("The currency of a subscription cannot change.", "items[0][price_data]")
    if price["recurring"] is None:
        raise invalid("The price must be recurring.", "items[0][price_data][recurring]")
    same = all(price["recurring"][k] == item["price"]["recurring"][k] for k in _INTERVAL)
    if params.get("proration_behavior") != "none" or not same:
        raise unsupported(
            "The sandbox changes amounts with proration_behavior=none and the same interval only.",
            "proration_behavior",
        )
    item["quantity"] = given.get("quantity", item["quantity"])
    subscriptions.set_price(item, price)


def _change_day(tx: Transaction, subscription: Body, params: Body) -> None:
    moment = params["trial_end"]
    if params.get("proration_behavior") != "none":
        raise unsupported("The sandbox moves the day without proration only.", "proration_behavior")
    moment = tx.now if moment == "now" else moment
    if moment < tx.now:
        raise invalid("trial_end must be in the future.", "trial_end")
    item = subscription["items"]["data"][0]
    subscription |= {
        "status": "trialing",
        "trial_start": tx.now,
        "trial_end": moment,
        "billing_cycle_anchor": moment,
    }
    item |= {"current_period_start": tx.now, "current_period_end": moment}
    subscriptions.schedule_renewal(tx, subscription)


def _change_plain(tx: Transaction, subscription: Body, params: Body) -> None:
    if "default_payment_method" in params:
        method = load_method(tx, params["default_payment_method"], "default_payment_method")
        if method["customer"] != subscription["customer"]:
            raise invalid(
                "The payment method belongs to another customer.", "default_payment_method"
            )
        subscription["default_payment_method"] = method["id"]
    if "metadata" in params:
        subscription["metadata"] = merge_metadata(subscription["metadata"], params["metadata"])
    if "description" in params:
        subscription["description"] = params["description"] or None
    if "cancellation_details" in params:
        subscription["cancellation_details"] |= params["cancellation_details"]
    if "cancel_at_period_end" in params:
        at_end = params["cancel_at_period_end"]
        period = subscription["items"]["data"][0]["current_period_end"]
        subscription |= {
            "cancel_at_period_end": at_end,
            "cancel_at": period if at_end else None,
            "canceled_at": tx.now if at_end else None,
        }
        subscription["cancellation_details"]["reason"] = (
            "cancellation_requested" if at_end else None
        )


def _change_pause(tx: Transaction, subscription: Body, pause: Any) -> None:
    tx.unschedule("resume_collection", subscription["id"])
    if not pause:
        subscription["pause_collection"] = None
        return
    resumes = pause.get("resumes_at")
    if resumes is not None and resumes <= tx.now:
        raise invalid("resumes_at must be in the future.", "pause_collection[resumes_at]")
    subscription["pause_collection"] = {"behavior": pause["behavior"], "resumes_at": resumes}
    if resumes is not None:
        clock = subscription["test_clock"]
        tx.schedule(resumes, "resume_collection", subscription["id"], clock)


@operation(
    "DELETE",
    "/v1/subscriptions/<id>",
    "SubscriptionCancelParams",
    accepts="cancellation_details invoice_now prorate",
)
def cancel_subscription(tx: Transaction, params: Body, subscription_id: str) -> Body:
    """Cancel at once."""
    subscription = subscriptions.load_subscription(tx, subscription_id)
    if subscription["status"] in subscriptions.ENDED:
        raise invalid(f"No such subscription: {subscription_id}", "id", "resource_missing")
    if params.get("invoice_now") or params.get("prorate"):
        raise unsupported("The sandbox cancels without a last invoice.", "invoice_now")
    details = params.get("cancellation_details")
    return subscriptions.end(tx, subscription, "cancellation_requested", details)


@operation(
    "POST",
    "/v1/subscriptions/<id>/pause",
    "SubscriptionPauseParams",
    accepts="bill_for type",
    inert="invoicing_behavior",
)
def pause_subscription(tx: Transaction, params: Body, subscription_id: str) -> Body:
    """Stop a subscription's periods altogether, without credit for the unused time."""
    subscription = subscriptions.load_subscription(tx, subscription_id)
    unused = params.get("bill_for", {}).get("unused_time_from", {}).get("type", "now")
    if unused != "none":
        raise unsupported(
            "The sandbox gives no credit: bill_for.unused_time_from=none.", "bill_for"
        )
    if subscription["status"] not in {"active", "trialing"}:
        raise invalid("Only an active subscription can be paused.")
    for timer in ("renew", "announce_invoice"):
        tx.unschedule(timer, subscription_id)
    subscription["status"] = "paused"
    subscription["status_details"] = {
        "paused": {
            "subscription": {"type": "pause_requested"},
            "transitioned_at": tx.now,
            "type": "subscription",
        }
    }
    tx.save(subscription)
    emit(tx, "customer.subscription.paused", subscription)
    return subscription


@operation(
    "POST",
    "/v1/subscriptions/<id>/resume",
    "SubscriptionResumeParams",
    accepts="billing_cycle_anchor proration_behavior",
    inert="payment_behavior",
)
def resume_subscription(tx: Transaction, params: Body, subscription_id: str) -> Body:
    """Resume a paused subscription: charge now by default, or keep the old dates."""
    subscription = subscriptions.load_subscription(tx, subscription_id)
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    item = subscription["items"]["data"][0]
    now = params.get("billing_cycle_anchor", {}).get("type", "now") == "now"
    if now:
        subscription["billing_cycle_anchor"] = tx.now
        item["current_period_start"] = tx.now
    elif params.get("proration_behavior") != "none":
        raise unsupported("The sandbox resumes without proration only.", "proration_behavior")
    item["current_period_end"] = period_end(
        subscription["billing_cycle_anchor"], tx.now, item["price"]["recurring"]
    )
    subscription |= {"status": "active", "status_details": None}
    tx.save(subscription)
    subscriptions.schedule_renewal(tx, subscription)
    emit(tx, "customer.subscription.resumed", subscription)
    if now:
        invoice = invoices.finalize(tx, invoices.draft(tx, subscription, "subscription_update"))
        subscription["latest_invoice"] = invoice["id"]
        tx.save(subscription)
        subscriptions.collect_now(tx, invoice)
    return tx.load(subscription_id)
