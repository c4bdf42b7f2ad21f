"""What happens by itself as the sandbox's time passes, in order, each in its own transaction."""

import time

from donorportal.sandbox import (
    checkout,
    completion,
    invoices,
    knobs,
    payments,
    refunds,
    subscriptions,
)
from donorportal.sandbox.clocks import KIND as CLOCK
from donorportal.sandbox.events import emit
from donorportal.sandbox.periods import period_end
from donorportal.sandbox.storage import Body, Store, Transaction

_HOUR = 3_600


def advance(store: Store, until: int, clock: str | None = None) -> int:
    """Let time pass up to a moment and fire every timer on the way; returns how many fired."""
    fired = 0
    while _fire_next(store, until, clock):
        fired += 1
    with store.transaction() as tx:
        _set_clock(tx, until, clock)
    return fired


def fire_due(store: Store) -> None:
    """Fire the timers which real time has reached."""
    with store.transaction() as tx:
        now = tx.now
    while _fire_next(store, now, None):
        pass


def move_clocks(store: Store) -> None:
    """Bring every advancing test clock to its target and make it ready again."""
    if not store.any("SELECT 1 FROM object WHERE kind = ?", CLOCK):
        return
    with store.transaction() as tx:
        moving = tx.find(CLOCK, status="advancing")
    for clock in moving:
        advance(store, clock["status_details"]["advancing"]["target_frozen_time"], clock["id"])
        with store.transaction() as tx:
            ready = tx.load(clock["id"]) | {"status": "ready", "status_details": {}}
            tx.save(ready)
            emit(tx, f"{CLOCK}.ready", ready)


def _fire_next(store: Store, until: int, clock: str | None) -> bool:
    with store.transaction() as tx:
        row = tx.sql.execute(
            "SELECT * FROM timer WHERE clock IS ? AND due <= ? ORDER BY due, seq LIMIT 1",
            (clock, until),
        ).fetchone()
        if row is None:
            return False
        tx.sql.execute("DELETE FROM timer WHERE seq = ?", (row["seq"],))
        _set_clock(tx, row["due"], clock)
        obj = tx.peek(row["subject"])
        if obj is not None:
            _HANDLERS[row["name"]](tx, obj)
        return True


def _set_clock(tx: Transaction, moment: int, clock: str | None) -> None:
    if clock is not None:
        frozen = tx.load(clock)
        frozen["frozen_time"] = max(frozen["frozen_time"], moment)
        tx.save(frozen)
        tx.now = frozen["frozen_time"]
        return
    if moment > tx.global_now():
        tx.set_setting("clock_offset", moment - int(time.time()))
    tx.now = moment


def _renew(tx: Transaction, subscription: Body) -> None:
    if subscription["cancel_at_period_end"]:
        subscriptions.end(tx, subscription, "cancellation_requested")
        return
    item = subscription["items"]["data"][0]
    start = item["current_period_end"]
    before = {"current_period_start": item["current_period_start"], "current_period_end": start}
    item["current_period_start"] = start
    item["current_period_end"] = period_end(
        subscription["billing_cycle_anchor"], start, item["price"]["recurring"]
    )
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    invoice = invoices.draft(tx, subscription, "subscription_cycle")
    subscription["latest_invoice"] = invoice["id"]
    tx.save(subscription)
    emit(tx, "customer.subscription.updated", subscription, {"items": {"data": [before]}})
    subscriptions.schedule_renewal(tx, subscription)
    _begin_collection(tx, subscription, invoice)


def _begin_collection(tx: Transaction, subscription: Body, invoice: Body) -> None:
    pause = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        invoice["auto_advance"] = False
        tx.save(invoice)
    elif pause and pause["behavior"] == "void":
        invoices.void(tx, invoices.finalize(tx, invoice))
    elif pause:
        invoices.finalize(tx, invoice)
        invoice |= {"status": "uncollectible", "auto_advance": False}
        invoice["status_transitions"]["marked_uncollectible_at"] = tx.now
        tx.save(invoice)
        emit(tx, "invoice.marked_uncollectible", invoice)
    else:
        due = tx.now + _HOUR
        invoice["automatically_finalizes_at"] = due
        tx.save(invoice)
        tx.schedule(due, "finalize_invoice", invoice["id"], subscription["test_clock"])


def _announce_invoice(tx: Transaction, subscription: Body) -> None:
    upcoming = invoices.draft(tx, subscription, "upcoming", stored=False)
    upcoming["id"] = "upcoming_" + upcoming["id"]
    emit(tx, "invoice.upcoming", upcoming)


def _finalize_invoice(tx: Transaction, invoice: Body) -> None:
    if invoice["status"] == "draft":
        subscriptions.collect_now(tx, invoices.finalize(tx, invoice))


def _retry_invoice(tx: Transaction, invoice: Body) -> None:
    if invoice["status"] == "open":
        subscriptions.collect_now(tx, invoice)


def _resume_collection(tx: Transaction, subscription: Body) -> None:
    before = {"pause_collection": subscription["pause_collection"]}
    subscription["pause_collection"] = None
    tx.save(subscription)
    emit(tx, "customer.subscription.updated", subscription, before)


def _expire_session(tx: Transaction, session: Body) -> None:
    if session["status"] == "open":
        checkout.expire(tx, session)


def _settle_debit(tx: Transaction, intent: Body) -> None:
    settle_debit(tx, intent, succeeded=knobs.read(tx)["async_outcome"] == "succeeded")


def settle_debit(tx: Transaction, intent: Body, *, succeeded: bool) -> None:
    """Let a bank debit arrive or bounce, with everything that hangs on it."""
    payments.finish_debit(tx, intent, succeeded=succeeded)
    completion.settle_later(tx, intent)
    for payment in tx.find("invoice_payment", payment__payment_intent=intent["id"]):
        invoice = tx.load(payment["invoice"])
        if succeeded:
            invoices.mark_paid(tx, invoice)
        else:
            invoices.attempt_failed(tx, invoice, scheduled=True)
        subscriptions.settle_invoice(tx, invoice)


def _book_charge(tx: Transaction, charge: Body) -> None:
    payments.book_charge(tx, charge)
    emit(tx, "charge.updated", charge, {"balance_transaction": None})


_HANDLERS = {
    "renew": _renew,
    "announce_invoice": _announce_invoice,
    "finalize_invoice": _finalize_invoice,
    "retry_invoice": _retry_invoice,
    "resume_collection": _resume_collection,
    "expire_session": _expire_session,
    "settle_debit": _settle_debit,
    "settle_refund": refunds.settle_pending,
    "book_charge": _book_charge,
}
