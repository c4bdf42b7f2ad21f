"""Asking again about payouts of which nobody told us the end."""

from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.payouts.models import Payout
from donorportal.giving.payouts.settling import READ_TASK
from donorportal.giving.settlement import settle
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, GatewayRejected

FOLLOW_TASK = "payouts.follow_up"
log = structlog.get_logger()

_UNDER_WAY = ("pending", "in_transit")
# A bank has five working days to send a payout back, and the list of lines takes some days, too.
_LOOKED_AT_FOR = timedelta(days=60)
_AT_ONCE = 200


def follow_up(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Ask Stripe about payouts that should be over, and compare those again that did not agree.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        waiting = session.scalars(_waiting()).all()
        odd = session.scalars(_odd()).all()
    for remote_id in waiting:
        try:
            seen = gateway.observe(remote_id)
        except GatewayRejected as rejected:
            log.warning("payout not understood", payout=remote_id, reason=str(rejected))
            continue
        if seen is not None:
            with run.noting() as session:
                settle(session, seen, cause="sweep of open payouts", settings=settings)
    for payout_id in odd:
        with run.noting() as session:
            read_again(session, payout_id)


def read_again(session: Session, payout_id: int) -> bool:
    """Let a payout's lines be read and compared once more; False if they are not known (yet).

    The key makes a double click one job.
    """
    begun = session.execute(
        sa.update(Payout)
        .where(Payout.id == payout_id, Payout.has_lines)
        .values(last_line=None)
        .returning(Payout.id)
        .execution_options(synchronize_session=False)
    ).first()
    if begun is None:
        return False
    key = f"{READ_TASK}:{payout_id}:{clock.now():%Y%m%dT%H%M}"
    return enqueue(session, READ_TASK, key=key, payout=payout_id)


def _waiting() -> sa.Select[str]:
    now = clock.now()
    unlisted = sa.and_(Payout.automatic, Payout.status == "paid", ~Payout.has_lines)
    late = sa.and_(Payout.status.in_(_UNDER_WAY), Payout.arrives_on < now.date())
    return (
        sa.select(Payout.remote_id)
        .where(Payout.created_at > now - _LOOKED_AT_FOR, sa.or_(unlisted, late))
        .order_by(Payout.id)
        .limit(_AT_ONCE)
    )


def _odd() -> sa.Select[int]:
    """Select payouts that do not agree, and those whose lines nobody finished reading."""
    return (
        sa.select(Payout.id)
        .where(sa.or_(Payout.concern.is_not(None), Payout.lines_minor.is_(None)))
        .where(Payout.has_lines, Payout.failure.is_(None))
        .where(Payout.created_at > clock.now() - _LOOKED_AT_FOR)
        .order_by(Payout.id)
        .limit(_AT_ONCE)
    )
