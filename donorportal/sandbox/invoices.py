"""Invoices: drawn up, finalised, tried, paid, failed, voided."""

from donorportal.sandbox import knobs
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import listing, new
from donorportal.sandbox.payments import cancel, clock_of, confirm, create_intent
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

_DAY = 86_400
_HARD = {"lost_card", "authentication_required"}


def draft(tx: Transaction, subscription: Body, reason: str, *, stored: bool = True) -> Body:
    """Draw up the invoice for a subscription's present period."""
    customer = tx.load(subscription["customer"])
    item = subscription["items"]["data"][0]
    invoice = new(
        tx,
        "invoice",
        account_country="US",
        account_name="Sandbox",
        amount_paid_off_stripe=0,
        auto_advance=True,
        billing_reason=reason,
        currency=subscription["currency"],
        customer=customer["id"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_address=customer["address"],
        customer_tax_exempt=customer["tax_exempt"],
        customer_tax_ids=[],
        issuer={"type": "self"},
        metadata={},
        parent={
            "quote_details": None,
            "type": "subscription_details",
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
        },
        period_start=item["current_period_start"],
        period_end=item["current_period_start"],
        status="draft",
        test_clock=customer["test_clock"],
        total_discount_amounts=[],
        total_pretax_credit_amounts=[],
        total_taxes=[],
        webhooks_delivered_at=tx.now,
    )
    lines = [_line(tx, invoice, subscription, i) for i in subscription["items"]["data"]]
    invoice["lines"] = listing(f"/v1/invoices/{invoice['id']}/lines", lines)
    total = sum(line["amount"] for line in lines)
    for name in ("amount_due", "amount_remaining", "subtotal", "total"):
        invoice[name] = total
    invoice["subtotal_excluding_tax"] = invoice["total_excluding_tax"] = total
    if stored:
        tx.insert(invoice)
        emit(tx, "invoice.created", invoice)
    return invoice


def _line(tx: Transaction, invoice: Body, subscription: Body, item: Body) -> Body:
    price, quantity = item["price"], item["quantity"]
    details = minimal_part("invoice", "lines", "parent", "subscription_item_details")
    details |= {"subscription": subscription["id"], "subscription_item": item["id"]}
    amount = price["unit_amount"] * quantity
    product = tx.load(price["product"])
    return new(
        tx,
        "line_item",
        amount=amount,
        currency=price["currency"],
        description=f"{quantity} x {product['name']}",
        discount_amounts=[],
        discountable=True,
        invoice=invoice["id"],
        metadata=dict(subscription["metadata"]),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        },
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pretax_credit_amounts=[],
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=quantity,
        quantity_decimal=str(quantity),
        subscription=subscription["id"],
        subtotal=amount,
        taxes=[],
    )


def finalize(tx: Transaction, invoice: Body, intent: Body | None = None) -> Body:
    """Open a draft and give it its number and its PaymentIntent (the one given, or a new one)."""
    tx.unschedule("finalize_invoice", invoice["id"])
    customer = tx.load(invoice["customer"])
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    tx.save(customer)
    invoice |= {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{number:04d}",
        "automatically_finalizes_at": None,
        "effective_at": tx.now,
        "ending_balance": 0,
        "hosted_invoice_url": f"{tx.setting('public_url')}/i/{invoice['id']}",
    }
    invoice["status_transitions"]["finalized_at"] = tx.now
    if invoice["amount_due"] > 0:
        intent = intent or create_intent(
            tx,
            invoice["amount_due"],
            invoice["currency"],
            invoice["customer"],
            description="Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
        )
        _link(tx, invoice, intent)
    tx.save(invoice)
    emit(tx, "invoice.finalized", invoice)
    return invoice


def _link(tx: Transaction, invoice: Body, intent: Body) -> None:
    payment = new(
        tx,
        "invoice_payment",
        amount_requested=invoice["amount_due"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
    )
    tx.insert(payment)


def collect(
    tx: Transaction,
    invoice: Body,
    method: Body | None,
    *,
    scheduled: bool,
    authenticated: bool = False,
) -> Body:
    """Try to take an open invoice's money; returns the invoice, paid or not."""
    if invoice["amount_due"] == 0:
        return mark_paid(tx, invoice)
    payment = open_payment(tx, invoice)
    intent = tx.load(payment["payment"]["payment_intent"])
    if method is not None and _is_hopeless(tx, invoice, intent, method, scheduled=scheduled):
        return attempt_failed(tx, invoice, scheduled=scheduled, silent=True)
    if method is None:
        return attempt_failed(tx, invoice, scheduled=scheduled)
    intent = confirm(tx, intent, method, on_page=False, authenticated=authenticated)
    if intent["status"] == "succeeded":
        return mark_paid(tx, invoice)
    if intent["status"] == "processing":
        invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
        return tx.save(invoice)
    tx.set_private(invoice["id"], failed_method=method["id"])
    return attempt_failed(tx, invoice, scheduled=scheduled)


def open_payment(tx: Transaction, invoice: Body) -> Body:
    """Return the invoice's payment record."""
    return tx.find("invoice_payment", invoice=invoice["id"])[0]


def _is_hopeless(
    tx: Transaction, invoice: Body, intent: Body, method: Body, *, scheduled: bool
) -> bool:
    error = intent["last_payment_error"] or {}
    same = tx.private(invoice["id"]).get("failed_method") == method["id"]
    return scheduled and same and (error.get("decline_code") or error.get("code")) in _HARD


def attempt_failed(
    tx: Transaction, invoice: Body, *, scheduled: bool, silent: bool = False
) -> Body:
    """Record that an attempt on an invoice failed and when the next one is due."""
    invoice["attempted"] = True
    first = invoice["attempt_count"] == 0
    if scheduled or first:
        invoice["attempt_count"] += 1
        _schedule_retry(tx, invoice)
    tx.save(invoice)
    if not silent:
        emit(tx, "invoice.payment_failed", invoice)
        intent = tx.peek(open_payment(tx, invoice)["payment"]["payment_intent"])
        error = (intent or {}).get("last_payment_error") or {}
        if error.get("code") == "authentication_required":
            emit(tx, "invoice.payment_action_required", invoice)
    return invoice


def _schedule_retry(tx: Transaction, invoice: Body) -> None:
    days: list[int] = knobs.read(tx)["dunning_days"]
    done = invoice["attempt_count"] - 1
    if done < len(days):
        invoice["next_payment_attempt"] = due = tx.now + days[done] * _DAY
        clock = clock_of(tx, invoice["customer"])
        tx.schedule(due, "retry_invoice", invoice["id"], clock)
    else:
        invoice |= {"next_payment_attempt": None, "auto_advance": False}


def mark_paid(tx: Transaction, invoice: Body, *, out_of_band: bool = False) -> Body:
    """Record that an invoice's money came in."""
    tx.unschedule("retry_invoice", invoice["id"])
    for payment in tx.find("invoice_payment", invoice=invoice["id"]):
        payment |= {"status": "paid", "amount_paid": payment["amount_requested"]}
        payment["status_transitions"]["paid_at"] = tx.now
        if not out_of_band:
            tx.save(payment)
            emit(tx, "invoice_payment.paid", payment)
    before = dict(invoice)
    invoice |= {
        "amount_paid": 0 if out_of_band else invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": max(1, invoice["attempt_count"]),
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
    }
    if out_of_band:
        invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    invoice["status_transitions"]["paid_at"] = tx.now
    tx.save(invoice)
    emit(tx, "invoice.paid", invoice, changed(before, invoice))
    emit(tx, "invoice.payment_succeeded", invoice)
    return invoice


def void(tx: Transaction, invoice: Body) -> Body:
    """Void an open invoice and cancel its PaymentIntent."""
    tx.unschedule("retry_invoice", invoice["id"])
    for payment in tx.find("invoice_payment", invoice=invoice["id"]):
        cancel(tx, tx.load(payment["payment"]["payment_intent"]), "void_invoice")
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = tx.now
        tx.save(payment)
    before = dict(invoice)
    invoice |= {"status": "void", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = tx.now
    tx.save(invoice)
    emit(tx, "invoice.voided", invoice, changed(before, invoice))
    return invoice


def subscription_of(invoice: Body) -> str:
    """Return the id of the subscription that an invoice bills."""
    subscription: str = invoice["parent"]["subscription_details"]["subscription"]
    return subscription
