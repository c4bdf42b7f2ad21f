"""Work by the clock is queued once for each slot of time, by whoever is awake."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import time_machine

from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.periodic import Every, Periodic, prune
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import drain

NOON = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOURLY = [Every("sweep", timedelta(hours=1))]


def _keys(engine: sa.Engine) -> list[str | None]:
    with reading_session(engine) as session:
        return list(session.scalars(sa.select(Job.key).order_by(Job.id)))


def test_each_slot_is_queued_once_whoever_asks(engine: sa.Engine) -> None:
    """Two workers that ask again and again queue one job for each hour."""
    with time_machine.travel(NOON, tick=False) as clock:
        workers = [Periodic(engine, HOURLY), Periodic(engine, HOURLY)]
        for _ in range(2):
            for worker in (*workers, *workers):
                worker.enqueue_due()
            clock.shift(timedelta(hours=1))

    assert _keys(engine) == ["sweep:2026-03-01T12:00:00Z", "sweep:2026-03-01T13:00:00Z"]


def test_a_missed_slot_is_left_out(engine: sa.Engine) -> None:
    """After a night without a worker the work is done once, not once for each hour."""
    with time_machine.travel(NOON, tick=False) as clock:
        worker = Periodic(engine, HOURLY)
        worker.enqueue_due()
        clock.shift(timedelta(hours=9))
        worker.enqueue_due()

    assert len(_keys(engine)) == 2


def test_asking_costs_nothing_while_the_slot_is_the_same(engine: sa.Engine) -> None:
    """A worker that swept a moment ago does not touch the database for the clock's work."""
    statements: list[str] = []
    note: Callable[..., None] = lambda *values: statements.append(values[2])  # noqa: E731
    with time_machine.travel(NOON, tick=False):
        worker = Periodic(engine, HOURLY)
        worker.enqueue_due()
        sa.event.listen(engine, "before_cursor_execute", note)
        worker.enqueue_due()

    assert statements == []


def test_old_finished_jobs_are_pruned_and_dead_ones_kept(engine: sa.Engine) -> None:
    """History goes after 30 days; what is dead, waiting or recent stays, and so does the pruner."""
    with time_machine.travel(NOON, tick=False) as clock:
        with writing_session(engine) as session:
            for number in range(1200):
                enqueue(session, "old", number=number)
            session.execute(sa.update(Job).values(state=JobState.DONE, finished_at=NOON))
            enqueue(session, "dead", key="dead")
            session.execute(
                sa.update(Job)
                .where(Job.key == "dead")
                .values(state=JobState.DEAD, finished_at=NOON)
            )
            enqueue(session, "waiting", key="waiting", delay=timedelta(days=60))
        clock.shift(timedelta(days=31))
        with writing_session(engine) as session:
            enqueue(session, "prune", key="prune")
        drain(engine, {"prune": prune})

    assert _keys(engine) == ["dead", "waiting", "prune"]
