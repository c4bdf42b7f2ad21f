"""Subscriptions: begun at Checkout, collected for, ended."""

from donorportal.sandbox import invoices, knobs
from donorportal.sandbox.errors import missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import listing, new
from donorportal.sandbox.payments import clock_of
from donorportal.sandbox.periods import period_end
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_DAY = 86_400
ENDED = {"canceled", "incomplete_expired"}


def begin(tx: Transaction, customer: str, line: Body, method: Body, data: Body) -> Body:
    """Start a subscription today; its first invoice is the caller's affair."""
    clock, price = clock_of(tx, customer), line["price"]
    subscription = new(
        tx,
        "subscription",
        billing_cycle_anchor=tx.now,
        billing_mode={"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        cancellation_details=minimal_part("subscription", "cancellation_details"),
        currency=price["currency"],
        customer=customer,
        default_payment_method=method["id"],
        default_tax_rates=[],
        description=data.get("description"),
        metadata=data.get("metadata", {}),
        payment_settings=minimal_part("subscription", "payment_settings")
        | {"save_default_payment_method": "off"},
        start_date=tx.now,
        status="active",
        test_clock=clock,
        trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
    )
    subscription["invoice_settings"]["issuer"] = {"type": "self"}
    item = new(
        tx,
        "subscription_item",
        current_period_start=tx.now,
        current_period_end=period_end(tx.now, tx.now, price["recurring"]),
        quantity=line["quantity"],
        subscription=subscription["id"],
        tax_rates=[],
    )
    set_price(item, price)
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    subscription["items"] = listing(url, [item])
    tx.insert(subscription)
    schedule_renewal(tx, subscription)
    return subscription


def schedule_renewal(tx: Transaction, subscription: Body) -> None:
    """Arrange for the renewal at the end of the present period, and its announcement."""
    end = subscription["items"]["data"][0]["current_period_end"]
    clock = subscription["test_clock"]
    tx.schedule(end, "renew", subscription["id"], clock)
    tx.schedule(max(tx.now, end - 7 * _DAY), "announce_invoice", subscription["id"], clock)


def end(tx: Transaction, subscription: Body, reason: str, details: Body | None = None) -> Body:
    """Cancel now; nothing more will be invoiced."""
    for timer in ("renew", "announce_invoice", "resume_collection"):
        tx.unschedule(timer, subscription["id"])
    for invoice in tx.find(
        "invoice", parent__subscription_details__subscription=subscription["id"]
    ):
        _stop_collecting(tx, invoice)
    subscription |= {
        "status": "canceled",
        "canceled_at": subscription["canceled_at"] or tx.now,
        "ended_at": tx.now,
        "pause_collection": None,
    }
    subscription["cancellation_details"] |= {"reason": reason} | (details or {})
    tx.save(subscription)
    emit(tx, "customer.subscription.deleted", subscription)
    return subscription


def _stop_collecting(tx: Transaction, invoice: Body) -> None:
    if invoice["status"] not in {"draft", "open"} or not invoice["auto_advance"]:
        return
    for timer in ("finalize_invoice", "retry_invoice"):
        tx.unschedule(timer, invoice["id"])
    before = dict(invoice)
    invoice |= {
        "auto_advance": False,
        "automatically_finalizes_at": None,
        "next_payment_attempt": None,
    }
    tx.save(invoice)
    emit(tx, "invoice.updated", invoice, changed(before, invoice))


def set_status(tx: Transaction, subscription: Body, status: str) -> None:
    """Move a subscription to a status and tell, if that is a change."""
    if subscription["status"] != status:
        before = {"status": subscription["status"]}
        subscription["status"] = status
        tx.save(subscription)
        emit(tx, "customer.subscription.updated", subscription, before)


def invoice_paid(tx: Transaction, invoice: Body) -> None:
    """Bring a subscription in arrears back once its latest invoice is settled or voided."""
    subscription = tx.load(invoices.subscription_of(invoice))
    if subscription["status"] in {"past_due", "unpaid", "incomplete"} and (
        subscription["latest_invoice"] == invoice["id"]
    ):
        set_status(tx, subscription, "active")


def load_subscription(tx: Transaction, subscription_id: str) -> Body:
    """Return a subscription at its clock's time. Raises: ApiError when there is none."""
    subscription = tx.peek(subscription_id, "subscription")
    if subscription is None:
        raise missing("subscription", subscription_id)
    tx.enter_clock(subscription["test_clock"])
    return subscription


def collect_now(
    tx: Transaction, invoice: Body, *, scheduled: bool = True, authenticated: bool = False
) -> Body:
    """Try an open invoice by the subscription's own card, and draw the consequences."""
    subscription = tx.load(invoices.subscription_of(invoice))
    customer = tx.load(subscription["customer"])
    chosen = (
        subscription["default_payment_method"]
        or (customer["invoice_settings"]["default_payment_method"])
    )
    method = tx.peek(chosen, "payment_method")
    invoice = invoices.collect(
        tx, invoice, method, scheduled=scheduled, authenticated=authenticated
    )
    settle_invoice(tx, invoice)
    return invoice


def settle_invoice(tx: Transaction, invoice: Body) -> None:
    """Let the subscription follow what became of its invoice."""
    if invoice["status"] == "paid":
        invoice_paid(tx, invoice)
        return
    payment = invoices.open_payment(tx, invoice)
    if tx.load(payment["payment"]["payment_intent"])["status"] == "processing":
        return
    subscription = tx.load(invoices.subscription_of(invoice))
    if subscription["status"] in ENDED:
        return
    set_status(tx, subscription, "past_due")
    if invoice["next_payment_attempt"] is None:
        _end_dunning(tx, subscription)


def _end_dunning(tx: Transaction, subscription: Body) -> None:
    match knobs.read(tx)["dunning_end"]:
        case "cancel":
            end(tx, subscription, "payment_failed")
        case "unpaid":
            set_status(tx, subscription, "unpaid")
        case _:
            pass


def set_price(item: Body, price: Body) -> None:
    """Let an item cost another price from now on."""
    item["price"] = price
    item["plan"] = minimal_part("subscription_item", "plan") | {
        "active": False,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "created": price["created"],
        "currency": price["currency"],
        "id": price["id"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "metadata": {},
        "product": price["product"],
    }
