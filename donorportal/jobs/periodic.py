"""Work by the clock: one job for each slot of time, whoever inserts it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

from donorportal import clock
from donorportal.db import writing_session
from donorportal.jobs.models import Job, JobState, Queue
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run

_KEPT = timedelta(days=30)
_PRUNED_AT_ONCE = 1000


class Every(NamedTuple):
    """A task that runs once in each slot of time, counted from midnight UTC."""

    task: str
    interval: timedelta
    queue: str = Queue.DEFAULT


class Periodic:
    """Queues the current slot of each entry; a slot nobody was awake for is left out."""

    def __init__(self, engine: sa.Engine, entries: Sequence[Every]) -> None:
        self._engine = engine
        self._entries = entries
        self._queued: dict[str, str] = {}

    def enqueue_due(self) -> None:
        """Queue what this process has not queued yet; the unique key refuses second copies.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The database does not answer.

        """
        keys = {entry: f"{entry.task}:{_slot(entry.interval)}" for entry in self._entries}
        due = [entry for entry in self._entries if self._queued.get(entry.task) != keys[entry]]
        if not due:
            return
        with writing_session(self._engine) as session:
            for entry in due:
                enqueue(session, entry.task, key=keys[entry], queue=entry.queue)
        self._queued.update({entry.task: keys[entry] for entry in due})


def prune(run: Run) -> None:
    """Delete jobs done more than 30 days ago; dead ones stay until somebody looks at them."""
    oldest = (
        sa.select(Job.id)
        .where(Job.state == JobState.DONE, Job.finished_at < clock.now() - _KEPT)
        .order_by(Job.id)
        .limit(_PRUNED_AT_ONCE)
    )
    gone = _PRUNED_AT_ONCE
    while gone == _PRUNED_AT_ONCE:
        # In small transactions, so that nobody waits long for SQLite's only writer.
        with run.noting() as session:
            gone = len(
                session.scalars(sa.delete(Job).where(Job.id.in_(oldest)).returning(Job.id)).all()
            )


def _slot(interval: timedelta) -> str:
    seconds = int(interval.total_seconds())
    start = int(clock.now().timestamp()) // seconds * seconds
    return clock.from_timestamp(start).strftime("%Y-%m-%dT%H:%M:%SZ")
