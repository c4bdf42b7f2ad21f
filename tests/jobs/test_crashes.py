"""Workers are killed at any moment, again and again: every effect happens once."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import sqlalchemy as sa

from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import drain
from tests.jobs import worker_process
from tests.jobs.effects import TASKS, numbers

SECONDS = 40


def _count(engine: sa.Engine, *conditions: sa.ColumnElement[bool]) -> int:
    with reading_session(engine) as session:
        return session.scalar(sa.select(sa.func.count(Job.id)).where(*conditions)) or 0


def _are_done(engine: sa.Engine, goal: int) -> bool:
    return _count(engine, Job.state == JobState.DONE) >= goal


def _retry_now(engine: sa.Engine) -> None:
    """Shorten the pauses after failures, which are not what is tested here."""
    with writing_session(engine) as session:
        session.execute(
            sa.update(Job)
            .where(Job.state == JobState.READY, Job.owner.is_(None))
            .values(run_at=Job.created_at)
        )


def _until(condition: Callable[[], bool], deadline: float) -> bool:
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_every_effect_happens_once_although_workers_are_killed(
    engine: sa.Engine, engine_url: str
) -> None:
    """150 jobs, a third of them failing half of the time, six kills: 150 effects, none twice."""
    with writing_session(engine) as session:
        for number in range(150):
            task = "flaky" if number % 3 == 0 else "slow"
            enqueue(session, task, max_attempts=60, number=number)
    deadline = time.monotonic() + SECONDS
    workers = [worker_process.start(engine_url, lease=0.5, batch=batch) for batch in (1, 4)]
    try:
        for kill in range(6):
            assert _until(partial(_are_done, engine, 15 * (kill + 1)), deadline)
            worker_process.end(workers[kill % 2])
            workers[kill % 2] = worker_process.start(engine_url, lease=0.5, batch=4)
            _retry_now(engine)

        def all_done() -> bool:
            _retry_now(engine)
            return _count(engine, Job.state != JobState.DONE) == 0

        assert _until(all_done, deadline)
    finally:
        for worker in workers:
            worker_process.end(worker)

    assert numbers(engine) == list(range(150))
    assert _count(engine, Job.attempts > 1) > 0


def test_a_task_that_kills_its_process_ends_dead_and_spares_its_neighbours(
    engine: sa.Engine, engine_url: str
) -> None:
    """A poisonous job is retired after its attempts; the jobs beside it are done."""
    with writing_session(engine) as session:
        enqueue(session, "killer", max_attempts=3)
        for number in range(8):
            enqueue(session, "effect", max_attempts=3, number=number)
    deadline = time.monotonic() + SECONDS
    over = False
    while not over and time.monotonic() < deadline:
        worker = worker_process.start(engine_url, lease=0.3, batch=4)
        while worker.is_alive() and not over and time.monotonic() < deadline:
            over = _count(engine, Job.state == JobState.READY) == 0
            time.sleep(0.05)
        worker_process.end(worker)

    assert numbers(engine) == list(range(8))
    assert _count(engine, Job.task == "killer", Job.state == JobState.DEAD) == 1
    assert _count(engine, Job.state == JobState.DONE) == 8


def test_a_job_whose_worker_was_killed_is_taken_over_when_its_lease_ends(
    engine: sa.Engine, engine_url: str
) -> None:
    """A killed worker's job waits for its lease, then another worker does it, once."""
    with writing_session(engine) as session:
        enqueue(session, "late", number=1, seconds=60)
    worker = worker_process.start(engine_url, lease=1)
    claimed = _until(
        lambda: _count(engine, Job.owner.is_not(None)) == 1, time.monotonic() + SECONDS
    )
    worker_process.end(worker)
    assert claimed
    assert drain(engine, TASKS) == 0

    quick = {"late": lambda run, number, seconds: TASKS["effect"](run, number=number)}
    deadline = time.monotonic() + 5
    while drain(engine, quick, lease=timedelta(seconds=5)) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert numbers(engine) == [1]
