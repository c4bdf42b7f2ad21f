"""Bringing a payout in line with what the payment service says now."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.payouts.models import Payout
from donorportal.jobs.queueing import enqueue
from donorportal.ledger import accounts
from donorportal.ledger.posting import Line, post
from donorportal.payments.payouts import RemotePayout
from donorportal.payments.returns import Movement

READ_TASK = "payouts.read_lines"


def settle_payout(session: Session, seen: RemotePayout, *, settings: Settings) -> None:
    """Follow a payout, book it, and let its lines be read once they are known.

    It is booked when it is made, not when it arrives: that is when the money leaves our balance at
    the payment service, so that the clearing account always holds what the service holds. What
    comes back from the bank is an entry of its own, whenever it comes; which entries there are
    follows from what the service says now, and not from which of its messages reached us.
    """
    payout = _lock(session, seen)
    payout.status, payout.arrives_on = seen.remote_state, seen.arrives_on
    payout.failure = seen.failure
    payout.has_lines = payout.has_lines or seen.lines_known
    if seen.movement is not None:
        _book(session, f"payout:{seen.remote_id}", seen.movement, payout, settings)
    if seen.failure_movement is not None:
        _book(session, f"payout-failed:{seen.remote_id}", seen.failure_movement, payout, settings)
        payout.concern = f"It came back from the bank: {seen.failure or seen.remote_state}."
    if payout.has_lines and payout.lines_minor is None:
        enqueue(session, READ_TASK, key=f"{READ_TASK}:{payout.id}", payout=payout.id)


def _lock(session: Session, seen: RemotePayout) -> Payout:
    """Return the row of a payout, locked; the first who asks makes it."""
    session.execute(
        upsert(session, Payout)
        .values(
            remote_id=seen.remote_id,
            amount_minor=seen.amount.minor,
            currency=seen.amount.currency,
            status=seen.remote_state,
            automatic=seen.automatic,
            created_at=seen.created_at,
            arrives_on=seen.arrives_on,
            has_lines=False,
        )
        .on_conflict_do_nothing(index_elements=["remote_id"])
    )
    return session.scalars(
        sa.select(Payout).where(Payout.remote_id == seen.remote_id).with_for_update()
    ).one()


def _book(
    session: Session, source: str, movement: Movement, payout: Payout, settings: Settings
) -> None:
    """Post what left our balance for the bank, or came back from it."""
    lines = [
        Line(accounts.BANK, -movement.amount),
        Line(accounts.FEES, movement.fee),
        Line(accounts.CLEARING, movement.amount - movement.fee),
    ]
    post(
        session,
        source=source,
        effective_on=clock.local_date(movement.moved_at, settings.organisation.time_zone),
        lines=[line for line in lines if line.amount.minor],
        detail={"payout": payout.id},
    )
