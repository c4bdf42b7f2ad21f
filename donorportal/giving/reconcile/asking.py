"""What staff ask for: a comparison now, a repair, or that a difference may stay."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.giving.reconcile.models import STANDING, Difference, DifferenceState
from donorportal.giving.reconcile.running import REPAIR_TASK, REQUEST_TASK
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import enqueue

# A page that waits for a job stops doing so after this; something else is wrong then.
_WAITED_FOR = timedelta(minutes=10)


def ask_run(session: Session, *, actor: str) -> None:
    """Let everything be compared; asking twice in a minute asks once."""
    key = f"{REQUEST_TASK}:{clock.now():%Y%m%dT%H%M}"
    if enqueue(session, REQUEST_TASK, key=key, actor=actor):
        record(session, actor=actor, action="compare with stripe", subject="ledger")


def ask_repair(session: Session, difference_id: int, *, actor: str, other: bool) -> None:
    """Let one difference be repaired, or its money be booked as no gift when *other*."""
    key = f"{REPAIR_TASK}:{difference_id}:{clock.now():%Y%m%dT%H%M}"
    if enqueue(session, REPAIR_TASK, key=key, difference=difference_id, actor=actor, other=other):
        subject = f"difference:{difference_id}"
        record(session, actor=actor, action="ask repair", subject=subject, detail={"other": other})


def explain(session: Session, difference_id: int, *, actor: str, words: str) -> bool:
    """Keep why a difference may stay as it is; False if it does not stand any more.

    It counts again as soon as either side says something else.
    """
    explained = session.execute(
        sa.update(Difference)
        .where(Difference.id == difference_id, Difference.state.in_(STANDING))
        .values(
            state=DifferenceState.EXPLAINED,
            note=words[:500],
            closed_at=clock.now(),
            closed_by=actor,
        )
        .returning(Difference.id)
        .execution_options(synchronize_session=False)
    ).first()
    if explained is None:
        return False
    subject = f"difference:{difference_id}"
    record(
        session, actor=actor, action="explain difference", subject=subject, detail={"note": words}
    )
    return True


def exists(session: Session, difference_id: int) -> bool:
    """Say whether there is such a difference."""
    return session.get(Difference, difference_id) is not None


def is_waiting(session: Session) -> bool:
    """Say whether something that staff asked for has not been done yet."""
    waiting = sa.select(Job.id).where(
        Job.task.in_((REQUEST_TASK, REPAIR_TASK)),
        Job.state == JobState.READY,
        Job.created_at > clock.now() - _WAITED_FOR,
    )
    return session.scalar(waiting.limit(1)) is not None
