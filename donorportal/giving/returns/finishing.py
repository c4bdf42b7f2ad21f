"""Jobs that end what was begun: refunds that Stripe has not answered, and warnings of fraud."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.models import Gift
from donorportal.giving.returns import tasks
from donorportal.giving.returns.asking import (
    FINISH_TASK,
    RefundAsked,
    RefundRefused,
    ask_refund,
    begin_anew,
    carry_out,
    give_up,
    left_of,
    settle_refund,
    stored,
)
from donorportal.giving.returns.models import FraudWarningRecord, Refund, RefundStatus
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, GatewayFailed, GatewayRejected

SWEEP_TASK = "returns.sweep"
# A job tries for about six hours; what is left after that needs new ones.
_FORGOTTEN_AFTER = timedelta(hours=8)


def finish_refund(run: Run, gateway: Gateway, settings: Settings, *, refund: int) -> None:
    """End one refund that was asked for: send it, or find out what became of it, and book that.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        asked = stored(session, refund)
    if asked is None:
        return
    refusal, seen = "", None
    try:
        seen = carry_out(gateway, asked)
    except GatewayRejected as rejected:
        refusal = str(rejected)
    except GatewayFailed:
        with run.noting() as session:
            begin_anew(session, asked)
        raise
    with run.finishing() as session:
        if seen is not None:
            settle_refund(session, asked, seen, settings=settings)
        else:
            give_up(session, asked, refusal)
            _ask_a_person(session, asked, refusal)


def answer_warning(run: Run, *, warning: int) -> None:
    """Ask for the refund of a small gift that is probably fraud."""
    with run.finishing() as session:
        row = session.get_one(FraudWarningRecord, warning)
        if row.refund_key is None:
            return
        try:
            ask_refund(
                session,
                row.gift_id,
                None,
                key=row.refund_key,
                actor="system",
                reason=f"warning of fraud: {row.kind}",
            )
        except RefundRefused as refused:
            gift = session.get_one(Gift, row.gift_id)
            # Refunded or taken back in the meantime: nothing is left to send back.
            if left_of(session, gift).minor:
                text = f"The card's network warns of fraud ({row.kind}). {refused}"
                tasks.open_task(session, gift, key=f"fraud-warning:{row.remote_id}", text=text)


def sweep(run: Run) -> None:
    """Queue refunds anew that were asked for long ago and whose jobs have given up."""
    before = clock.now() - _FORGOTTEN_AFTER
    with run.finishing() as session:
        forgotten = sa.select(Refund.id).where(
            Refund.status == RefundStatus.ASKED, Refund.created_at < before
        )
        for row_id in session.scalars(forgotten.limit(200)):
            enqueue(session, FINISH_TASK, refund=row_id)


def _ask_a_person(session: Session, asked: RefundAsked, refusal: str) -> None:
    tasks.open_task(
        session,
        session.get_one(Gift, asked.gift_id),
        key=f"refund-refused:{asked.row_id}",
        text=f"Stripe refused the refund of {asked.amount.exact()} ({refusal}).",
    )
