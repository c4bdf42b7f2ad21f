"""New objects: the SDK's plainest valid object, filled with what is known."""

from typing import Any

from donorportal.sandbox.storage import Body, Transaction, new_id
from donorportal.sandbox.typecheck import minimal

API_VERSION = "2026-10-28.endive"

_PREFIXES = {
    "customer": "cus",
    "product": "prod",
    "price": "price",
    "checkout.session": "cs_test",
    "payment_intent": "pi",
    "setup_intent": "seti",
    "payment_method": "pm",
    "subscription": "sub",
    "subscription_item": "si",
    "invoice": "in",
    "line_item": "il",
    "item": "li",
    "invoice_payment": "inpay",
    "charge": "ch",
    "refund": "re",
    "dispute": "dp",
    "balance_transaction": "txn",
    "payout": "po",
    "event": "evt",
    "webhook_endpoint": "we",
    "test_helpers.test_clock": "clock",
    "radar.early_fraud_warning": "issfr",
}
# Stripe leaves these out instead of answering null (they are optional but not nullable).
_ABSENT = {
    "customer": "business_name deleted individual_name invoice_credit_balance sources"
    " subscriptions tax tax_ids",
    "product": "deleted tax_details",
    "price": "currency_options deleted tiers",
    "checkout.session": "branding_settings excluded_payment_method_types line_items"
    " name_collection phone_number_collection presentment_details redirect_on_completion"
    " return_url tax_id_collection",
    "payment_intent": "amount_details hooks payment_details payment_record presentment_details"
    " source",
    "setup_intent": "attach_to_self",
    "subscription": "presentment_details",
    "subscription_item": "billed_until current_trial deleted",
    "invoice": "deleted payments threshold_reason",
    "charge": "authorization_code level3 presentment_details radar_options source transfer",
    "refund": "description destination_details failure_balance_transaction failure_reason"
    " instructions_email next_action pending_reason presentment_details",
    "dispute": "payment_method_details",
    "event": "account context",
    "webhook_endpoint": "deleted secret",
    "test_helpers.test_clock": "deleted",
    "radar.early_fraud_warning": "payment_intent",
    "item": "discounts taxes",
}


def new(tx: Transaction, kind: str, **fields: Any) -> Body:
    """Make (not store) a test-mode object with a fresh id, created now."""
    obj = minimal(kind)
    for name in _ABSENT.get(kind, "").split():
        obj.pop(name, None)
    if kind == "payment_method":
        obj = {k: v for k, v in obj.items() if v is not None or k in {"customer", "type"}}
    obj |= {"id": new_id(_PREFIXES[kind])}
    if "created" in obj:
        obj["created"] = tx.now
    if "livemode" in obj:
        obj["livemode"] = False
    return obj | fields


def merge_metadata(old: dict[str, str] | None, given: Any) -> dict[str, str]:
    """Apply an update of metadata: an empty value unsets a key, an empty whole unsets all."""
    if given is None:
        return old or {}
    if given == "":
        return {}
    return {k: v for k, v in ((old or {}) | given).items() if v != ""}


def listing(url: str, data: list[Body]) -> Body:
    """Wrap objects as a complete list."""
    return {"object": "list", "data": data, "has_more": False, "url": url}
