"""One refund: its row follows the payment service, and the ledger follows the row."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.clearing import post_costs
from donorportal.giving.events import note
from donorportal.giving.models import Gift
from donorportal.giving.returns import tasks, telling
from donorportal.giving.returns.models import GOING_BACK, Refund, RefundStatus
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.payments.returns import RefundState, Returned

_STATUSES = {
    RefundState.PENDING: RefundStatus.PENDING,
    RefundState.SUCCEEDED: RefundStatus.SUCCEEDED,
    RefundState.FAILED: RefundStatus.FAILED,
    RefundState.CANCELED: RefundStatus.CANCELED,
    # Counted as gone until somebody has looked: better too little than too much.
    RefundState.UNKNOWN: RefundStatus.PENDING,
}
# A refund only ever moves to the right: an older observation that comes late changes nothing.
_ORDER = (
    RefundStatus.ASKED,
    RefundStatus.PENDING,
    RefundStatus.SUCCEEDED,
    RefundStatus.CANCELED,
    RefundStatus.FAILED,
)
_CAME_BACK = (RefundStatus.FAILED, RefundStatus.CANCELED)


def follow(
    session: Session, gift: Gift, returned: Returned, *, cause: str, settings: Settings
) -> None:
    """Bring one refund in line with *returned*: its row, its entries, and who is told."""
    row = _row_of(session, gift, returned, settings)
    before, now = RefundStatus(row.status), _STATUSES[returned.state]
    if row.remote_id is not None and _ORDER.index(now) < _ORDER.index(before):
        now = before
    changed = row.remote_id is None or now != before
    if row.remote_id is None:
        row.remote_id, row.refunded_on = returned.remote_id, _day(_left_at(returned), settings)
    row.status = now
    if returned.movement is not None:
        row.balance_remote_id = returned.movement.transaction_id
    if returned.failure_movement is not None:
        row.failure_remote_id = returned.failure_movement.transaction_id
    if now in _CAME_BACK:
        row.failure = returned.failure or row.failure or now
        row.failed_on = row.failed_on or _day(_failed_at(returned), settings)
    session.flush()  # The mail and the task name the row.
    _post(session, gift, row, returned)
    if changed:
        _tell(session, gift, row, cause, settings)


def total(session: Session, gift: Gift) -> int:
    """Return how much of a gift went back or is on its way, in minor units."""
    going_back = sa.select(sa.func.coalesce(sa.func.sum(Refund.amount_minor), 0)).where(
        Refund.gift_id == gift.id, Refund.status.in_(GOING_BACK)
    )
    return int(session.scalar(going_back) or 0)


def _row_of(session: Session, gift: Gift, returned: Returned, settings: Settings) -> Refund:
    """Find the row by Stripe's id, or by our key while Stripe's answer is still on its way."""
    row = session.scalar(sa.select(Refund).where(Refund.remote_id == returned.remote_id))
    if row is None and returned.key is not None:
        unanswered = sa.select(Refund).where(
            Refund.key == returned.key, Refund.gift_id == gift.id, Refund.remote_id.is_(None)
        )
        row = session.scalar(unanswered)
    if row is None:
        row = Refund(
            gift_id=gift.id,
            amount_minor=returned.amount.minor,
            currency=returned.amount.currency,
            status=RefundStatus.PENDING,
            actor="stripe",
            reason=returned.reason,
            refunded_on=_day(_left_at(returned), settings),
            created_at=returned.created_at,
        )
        session.add(row)
    return row


def _post(session: Session, gift: Gift, row: Refund, returned: Returned) -> None:
    """Reverse the income when the money leaves, and reverse that when it comes back."""
    income = accounts.gifts(gift.designation_code)
    detail = {"gift": gift.id, "refund": row.id}
    post(
        session,
        source=f"refund:{row.remote_id}",
        effective_on=row.refunded_on,
        lines=move(row.amount, debit=income, credit=accounts.CLEARING),
        detail=detail,
    )
    if returned.movement is not None:
        post_costs(session, gift, -row.amount, returned.movement, on=row.refunded_on)
    if row.failed_on is None:
        return
    post(
        session,
        source=f"refund-failed:{row.remote_id}",
        effective_on=row.failed_on,
        lines=move(row.amount, debit=accounts.CLEARING, credit=income),
        detail=detail,
    )
    if returned.failure_movement is not None:
        post_costs(session, gift, row.amount, returned.failure_movement, on=row.failed_on)


def _tell(session: Session, gift: Gift, row: Refund, cause: str, settings: Settings) -> None:
    amount = row.amount
    note(
        session,
        Gift,
        gift.id,
        gift.status,
        cause=cause,
        refund=row.remote_id,
        became=row.status,
        minor=amount.minor,
    )
    if row.status in GOING_BACK:
        telling.refund_made(session, gift, row, settings)
    else:
        telling.refund_failed(session, gift, row, settings)
        tasks.open_task(
            session,
            gift,
            key=f"refund-failed:{row.remote_id}",
            text=f"The refund of {amount.exact()} did not reach the donor ({row.failure})."
            " The money is with us again; the donor needs it in another way.",
        )


def _left_at(returned: Returned) -> datetime:
    return returned.movement.moved_at if returned.movement else returned.created_at


def _failed_at(returned: Returned) -> datetime:
    return returned.failure_movement.moved_at if returned.failure_movement else clock.now()


def _day(instant: datetime, settings: Settings) -> date:
    return clock.local_date(instant, settings.organisation.time_zone)
