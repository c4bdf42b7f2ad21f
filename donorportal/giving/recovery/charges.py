"""Charges that failed follow their invoices: past due, then recovered or given up.

    the first try fails ──► open ──► recovered    the bank paid, at a retry or when asked
                             │  ╲──► withdrawn    the gift was stopped, or the month left out
                             ▼
                          given up                the last try failed: the monthly gift lapses

What is true is read from Stripe each time; nothing here counts days or tries by itself.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.events import note
from donorportal.giving.models import RecurringGift, RecurringStatus
from donorportal.giving.recovery.models import ChargeState, FailedCharge
from donorportal.jobs.queueing import enqueue
from donorportal.payments.gateway import (
    Invoice,
    Observation,
    Payment,
    PaymentState,
)

TELL_TASK = "recovery.tell"
TELL_LAPSED_TASK = "recovery.tell_lapsed"
LOOK_TASK = "recovery.look"

_OVER = {
    RecurringStatus.LAPSED: ChargeState.GIVEN_UP,
    RecurringStatus.ENDED: ChargeState.WITHDRAWN,
}
_NEVER_BEGAN = (RecurringStatus.STARTED, RecurringStatus.ABANDONED)
_OUTSTANDING = (RecurringStatus.PAST_DUE, RecurringStatus.LAPSED)


def follow(session: Session, giver: RecurringGift, seen: Observation, *, cause: str) -> None:
    """Bring the failed charges of a monthly gift, which the caller has locked, in line."""
    if seen.invoice is not None:
        _follow_invoice(session, giver, seen.invoice, seen.payment, cause)
    if giver.status in _OVER:
        _close_all(session, giver, _OVER[RecurringStatus(giver.status)], cause)
    if giver.status in _OUTSTANDING and seen.subscription is not None:
        latest_id = seen.subscription.latest_invoice_id
        if latest_id is not None and (seen.invoice is None or seen.invoice.remote_id != latest_id):
            _see_to_the_latest(session, giver, latest_id)


def failed_before(session: Session, invoice_remote_id: str | None) -> bool:
    """Say whether the bank first refused what this invoice asked for."""
    found = sa.exists().where(FailedCharge.invoice_remote_id == invoice_remote_id)
    return invoice_remote_id is not None and bool(session.scalar(sa.select(found)))


def _follow_invoice(
    session: Session, giver: RecurringGift, invoice: Invoice, payment: Payment | None, cause: str
) -> None:
    row = session.scalar(
        sa.select(FailedCharge).where(FailedCharge.invoice_remote_id == invoice.remote_id)
    )
    if row is None:
        if giver.status in _NEVER_BEGAN or not _has_failed(invoice, payment):
            return
        row = _first_failure(session, giver, invoice, payment)
    if invoice.remote_state == "open":
        row.reason = (payment.failure if payment else None) or row.reason
        row.tries, row.next_try_at = invoice.tries, invoice.next_try_at
        row.is_retried, row.pay_url = invoice.is_retried, invoice.pay_url
    state = _state_of(giver, invoice, payment)
    if state is not ChargeState.OPEN:
        _close(session, giver, row, state, cause)
    else:
        _tell(session, row, why="failed")


def _has_failed(invoice: Invoice, payment: Payment | None) -> bool:
    is_moving = payment is not None and payment.state is PaymentState.PROCESSING
    return invoice.remote_state == "open" and invoice.tries > 0 and not is_moving


def _first_failure(
    session: Session, giver: RecurringGift, invoice: Invoice, payment: Payment | None
) -> FailedCharge:
    row = FailedCharge(
        recurring_gift_id=giver.id,
        invoice_remote_id=invoice.remote_id,
        amount_minor=invoice.due.minor,
        currency=invoice.due.currency,
        failed_at=(payment.charged_at if payment else None) or clock.now(),
        tries=invoice.tries,
        is_retried=invoice.is_retried,
        state=ChargeState.OPEN,
    )
    session.add(row)
    session.flush()  # Its id is needed for the work that follows.
    return row


def _state_of(giver: RecurringGift, invoice: Invoice, payment: Payment | None) -> ChargeState:
    if invoice.paid and payment is not None and payment.arrived:
        return ChargeState.RECOVERED
    if invoice.remote_state == "uncollectible":
        return ChargeState.GIVEN_UP
    if invoice.remote_state != "open":
        return ChargeState.WITHDRAWN
    return _OVER.get(RecurringStatus(giver.status), ChargeState.OPEN)


def _close_all(session: Session, giver: RecurringGift, state: ChargeState, cause: str) -> None:
    still_open = sa.select(FailedCharge).where(
        FailedCharge.recurring_gift_id == giver.id, FailedCharge.state == ChargeState.OPEN
    )
    for row in session.scalars(still_open).all():
        _close(session, giver, row, state, cause)


def _close(
    session: Session, giver: RecurringGift, row: FailedCharge, state: ChargeState, cause: str
) -> None:
    """End an open charge; one that has ended can still be paid, and nothing else."""
    may = row.state == ChargeState.OPEN or state is ChargeState.RECOVERED
    if not may or row.state == state:
        return
    row.state, row.closed_at, row.next_try_at = state, clock.now(), None
    note(
        session,
        RecurringGift,
        giver.id,
        giver.status,
        cause=cause,
        failed_charge=state,
        invoice=row.invoice_remote_id,
    )
    if state is ChargeState.GIVEN_UP:
        enqueue(session, TELL_LAPSED_TASK, key=f"{TELL_LAPSED_TASK}:{row.id}", charge=row.id)


def _see_to_the_latest(session: Session, giver: RecurringGift, invoice_id: str) -> None:
    """Look for the charge behind the arrears, should news of it never have come.

    Where the charge was known before the arrears were, nobody was told of it.
    """
    row = session.scalar(
        sa.select(FailedCharge).where(FailedCharge.invoice_remote_id == invoice_id)
    )
    if row is None:
        enqueue(session, LOOK_TASK, key=f"{LOOK_TASK}:{invoice_id}", invoice=invoice_id)
    elif giver.status == RecurringStatus.PAST_DUE:
        _tell(session, row, why="past-due")


def _tell(session: Session, row: FailedCharge, *, why: str) -> None:
    """Queue one look, for each try that failed, at whether the donor should hear of it."""
    if row.state == ChargeState.OPEN and row.told_at is None:
        enqueue(session, TELL_TASK, key=f"{TELL_TASK}:{row.id}:{row.tries}:{why}", charge=row.id)
