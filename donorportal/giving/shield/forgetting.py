"""Deleting what attempts leave behind that led to nothing."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.models import (
    Gift,
    GiftEvent,
    GiftStatus,
    RecurringGift,
    RecurringGiftEvent,
)
from donorportal.giving.shield.models import Decline, ShieldHold
from donorportal.jobs.running import Run

FORGET_TASK = "giving.forget_attempts"
# Long after anybody could pay, or ask what became of it.
_ATTEMPTS_KEPT_FOR = timedelta(days=30)
_DECLINES_KEPT_FOR = timedelta(days=2)
_AT_ONCE = 500


def forget(run: Run) -> None:
    """Delete abandoned attempts with their names and addresses, old declines and old blocks."""
    while _delete_some(run):
        pass
    now = clock.now()
    with run.finishing() as session:
        session.execute(sa.delete(Decline).where(Decline.at < now - _DECLINES_KEPT_FOR))
        session.execute(sa.delete(ShieldHold).where(ShieldHold.until < now - _DECLINES_KEPT_FOR))


def _delete_some(run: Run) -> bool:
    """Delete some attempts that no money ever came of; False when there are no more."""
    unpaid_once = Gift.charge_remote_id.is_(None)
    unpaid_monthly = RecurringGift.remote_id.is_(None)
    with run.noting() as session:
        once = _stale(session, Gift, unpaid_once)
        monthly = _stale(session, RecurringGift, unpaid_monthly)
        # Their history goes first: the database lets it go only while it sees such an attempt.
        for statement in (
            sa.delete(GiftEvent).where(GiftEvent.gift_id.in_(once)),
            sa.delete(Gift).where(Gift.id.in_(once)),
            sa.delete(RecurringGiftEvent).where(RecurringGiftEvent.recurring_gift_id.in_(monthly)),
            sa.delete(RecurringGift).where(RecurringGift.id.in_(monthly)),
        ):
            session.execute(statement.execution_options(synchronize_session=False))
    return bool(once or monthly)


def _stale(
    session: Session, table: type[Gift] | type[RecurringGift], unpaid: sa.ColumnElement[bool]
) -> list[int]:
    before = clock.now() - _ATTEMPTS_KEPT_FOR
    return list(
        session.scalars(
            sa.select(table.id)
            .where(table.status == GiftStatus.ABANDONED, table.donor_id.is_(None), unpaid)
            .where(table.created_at < before, table.checkout_asked_at < before)
            .limit(_AT_ONCE)
            .with_for_update()
        )
    )
