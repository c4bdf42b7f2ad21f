"""What a person should look at: opened once for each thing, settled with a note."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.db import upsert
from donorportal.giving.events import note
from donorportal.giving.models import Gift
from donorportal.giving.returns.models import GiftTask
from donorportal.jobs.queueing import enqueue

TELL_TASK = "staff.tell_of_task"
"""The job that mails the staff members concerned; it belongs to those who know them."""


def open_task(
    session: Session, gift: Gift, *, key: str, text: str, due_at: datetime | None = None
) -> None:
    """Open a task, once for each *key*; one with a deadline is mailed to staff as well."""
    task_id = session.scalar(
        upsert(session, GiftTask)
        .values(gift_id=gift.id, key=key, text=text[:300], due_at=due_at, opened_at=clock.now())
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(sa.literal_column("id"))
    )
    if task_id is not None and due_at is not None:
        enqueue(session, TELL_TASK, key=f"gift-task:{task_id}", task=task_id)


def settle_by_itself(
    session: Session, keys: Sequence[str], why: str, *, besides: str | None
) -> None:
    """Settle those of the tasks that are open, because what they were about has ended."""
    session.execute(
        sa.update(GiftTask)
        .where(GiftTask.key.in_([key for key in keys if key != besides]))
        .where(GiftTask.settled_at.is_(None))
        .values(settled_at=clock.now(), settled_by="stripe", note=why)
        .execution_options(synchronize_session=False)
    )


def settle_task(session: Session, gift_id: int, task_id: int, *, actor: str, words: str) -> bool:
    """Settle one task of a gift with a note; False if there is none that is open."""
    task = session.scalar(
        sa.select(GiftTask)
        .where(GiftTask.id == task_id, GiftTask.gift_id == gift_id)
        .with_for_update()
    )
    if task is None or task.settled_at is not None:
        return False
    task.settled_at, task.settled_by, task.note = clock.now(), actor, words[:500]
    _record(session, gift_id, {"task": task.key, "note": task.note}, actor)
    return True


def settle_look(session: Session, gift_id: int, *, actor: str, words: str) -> bool:
    """Say that somebody has looked at a gift which asked for it; False if it did not."""
    gift = session.scalar(sa.select(Gift).where(Gift.id == gift_id).with_for_update())
    if gift is None or gift.needs_look is None:
        return False
    detail = {"looked_at": gift.needs_look, "note": words[:500]}
    gift.needs_look = None
    note(session, Gift, gift.id, gift.status, cause=actor, **detail)
    _record(session, gift_id, detail, actor)
    return True


def _record(session: Session, gift_id: int, detail: dict[str, str], actor: str) -> None:
    record(session, actor=actor, action="settle task", subject=f"gift:{gift_id}", detail=detail)
