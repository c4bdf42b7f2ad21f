"""What the API offers on invoices: read, preview, pay, void."""

from copy import deepcopy
from typing import Any

from donorportal.sandbox import invoices, lists, subscriptions
from donorportal.sandbox.cards import load_method
from donorportal.sandbox.errors import ApiError, invalid, missing, unsupported
from donorportal.sandbox.operations import operation
from donorportal.sandbox.payments import clock_of
from donorportal.sandbox.periods import period_end
from donorportal.sandbox.storage import Body, Transaction


@operation("GET", "/v1/invoices/<id>", "InvoiceRetrieveParams")
def retrieve_invoice(tx: Transaction, params: Body, invoice_id: str) -> Body:  # noqa: ARG001
    """Answer an invoice."""
    return _load(tx, invoice_id)


@operation(
    "GET",
    "/v1/invoices",
    "InvoiceListParams",
    accepts=f"created customer status subscription {lists.PAGING}",
)
def list_invoices(tx: Transaction, params: Body) -> Body:
    """Answer invoices, newest first."""
    query = lists.Query("invoice", params, "customer", "status")
    if "subscription" in params:
        query.equal("parent.subscription_details.subscription", params["subscription"])
    return lists.fetch(tx, params, "/v1/invoices", query)


@operation(
    "POST",
    "/v1/invoices/<id>/pay",
    "InvoicePayParams",
    accepts="payment_method paid_out_of_band",
    inert="off_session",
)
def pay_invoice(tx: Transaction, params: Body, invoice_id: str) -> Body:
    """Try an open invoice now. Raises: ApiError 402 when the card is declined."""
    invoice = _load(tx, invoice_id)
    if invoice["status"] == "draft":
        invoice = invoices.finalize(tx, invoice)
    if invoice["status"] != "open":
        known = {"paid": "Invoice is already paid"}
        raise invalid(known.get(invoice["status"], "Invoice is no longer payable"))
    if params.get("paid_out_of_band"):
        invoice = invoices.mark_paid(tx, invoice, out_of_band=True)
        subscriptions.settle_invoice(tx, invoice)
        return invoice
    if "payment_method" in params:
        method = load_method(tx, params["payment_method"], "payment_method")
        invoice = invoices.collect(tx, invoice, method, scheduled=False)
        subscriptions.settle_invoice(tx, invoice)
    else:
        invoice = subscriptions.collect_now(tx, invoice, scheduled=False)
    if invoice["status"] == "open":
        _refuse_if_declined(tx, invoice)
    return invoice


def _refuse_if_declined(tx: Transaction, invoice: Body) -> None:
    payment = invoices.open_payment(tx, invoice)
    intent = tx.load(payment["payment"]["payment_intent"])
    if intent["status"] == "processing":
        return
    error: dict[str, Any] = dict(intent["last_payment_error"] or {})
    if not error:
        raise ApiError(
            400,
            "Cannot charge a customer that has no active card.",
            "missing",
            keep=True,
        )
    message, code = error.pop("message"), error.pop("code")
    raise ApiError(402, message, code, keep=True, **error, payment_intent=intent)


@operation("POST", "/v1/invoices/<id>/void", "InvoiceVoidInvoiceParams")
def void_invoice(tx: Transaction, params: Body, invoice_id: str) -> Body:  # noqa: ARG001
    """Void an open invoice."""
    invoice = _load(tx, invoice_id)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise invalid(
            f"You can only pass in open invoices. This invoice isn't open: it is"
            f" {invoice['status']}."
        )
    invoice = invoices.void(tx, invoice)
    subscriptions.invoice_paid(tx, invoice)
    return invoice


@operation("POST", "/v1/invoices/<id>/finalize", "InvoiceFinalizeInvoiceParams")
def finalize_invoice(tx: Transaction, params: Body, invoice_id: str) -> Body:  # noqa: ARG001
    """Finalise a draft without waiting for its hour, and try it."""
    invoice = _load(tx, invoice_id)
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized.", code="invoice_not_editable")
    return subscriptions.collect_now(tx, invoices.finalize(tx, invoice))


@operation(
    "POST",
    "/v1/invoices/create_preview",
    "InvoiceCreatePreviewParams",
    accepts="customer subscription subscription_details",
)
def preview_invoice(tx: Transaction, params: Body) -> Body:
    """Answer the next invoice of a subscription, with changes not yet made, without storing it."""
    if "subscription" not in params:
        raise unsupported("The sandbox previews one subscription's invoice.", "subscription")
    subscription = deepcopy(subscriptions.load_subscription(tx, params["subscription"]))
    over = subscription["status"] in {*subscriptions.ENDED, "paused"}
    if over or subscription["cancel_at_period_end"]:
        raise invalid("No upcoming invoices for customer", code="invoice_upcoming_none")
    item = subscription["items"]["data"][0]
    _apply_preview(subscription, item, params.get("subscription_details", {}))
    start = item["current_period_end"]
    item["current_period_start"] = start
    item["current_period_end"] = period_end(
        subscription["billing_cycle_anchor"], start, item["price"]["recurring"]
    )
    preview = invoices.draft(tx, subscription, "upcoming", stored=False)
    preview["id"] = "upcoming_" + preview["id"]
    preview["next_payment_attempt"] = start + 3600
    return preview


def _apply_preview(subscription: Body, item: Body, details: Body) -> None:
    unknown = set(details) - {"items", "proration_behavior", "trial_end"}
    if unknown:
        raise unsupported("The sandbox does not preview this.", f"subscription_details[{unknown}]")
    for given in details.get("items", []):
        if given.get("id") != item["id"] or "price_data" not in given:
            raise unsupported("Name the item's id and give price_data.", "subscription_details")
        amount = given["price_data"]["unit_amount"]
        item["price"] |= {"unit_amount": amount, "unit_amount_decimal": str(amount)}
    if isinstance(details.get("trial_end"), int):
        item["current_period_end"] = details["trial_end"]
        subscription["billing_cycle_anchor"] = details["trial_end"]


def _load(tx: Transaction, invoice_id: str) -> Body:
    invoice = tx.peek(invoice_id, "invoice")
    if invoice is None:
        raise missing("invoice", invoice_id)
    tx.enter_clock(clock_of(tx, invoice["customer"]))
    return invoice


@operation("GET", "/v1/invoice_payments/<id>", "InvoicePaymentRetrieveParams")
def retrieve_payment(tx: Transaction, params: Body, payment_id: str) -> Body:  # noqa: ARG001
    """Answer an invoice payment."""
    payment = tx.peek(payment_id, "invoice_payment")
    if payment is None:
        raise missing("invoice_payment", payment_id)
    return payment


@operation(
    "GET",
    "/v1/invoice_payments",
    "InvoicePaymentListParams",
    accepts=f"created invoice payment status {lists.PAGING}",
)
def list_payments(tx: Transaction, params: Body) -> Body:
    """Answer invoice payments by invoice or by PaymentIntent."""
    query = lists.Query("invoice_payment", params, "invoice", "status")
    payment = params.get("payment", {})
    if payment:
        if payment["type"] != "payment_intent":
            raise unsupported("The sandbox pays by PaymentIntents.", "payment[type]")
        query.equal("payment.payment_intent", payment.get("payment_intent"))
    return lists.fetch(tx, params, "/v1/invoice_payments", query)
