"""The embedded worker: woken, sweeping, surviving, stopping."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run
from donorportal.jobs.thread import EmbeddedWorker
from tests.jobs.effects import TASKS, numbers

NEVER = timedelta(hours=1)


def _queue(engine: sa.Engine, task: str = "effect", *, queue: str = "default", **args: Any) -> None:
    with writing_session(engine) as session:
        enqueue(session, task, queue=queue, **args)


def _wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@contextmanager
def _working(worker: EmbeddedWorker) -> Iterator[EmbeddedWorker]:
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop()


def test_a_wake_runs_the_job_at_once(engine: sa.Engine) -> None:
    """With a sweep that never comes, a wake alone gets the job done in well under a second."""
    with _working(EmbeddedWorker(engine, TASKS, sweep=NEVER)) as worker:
        time.sleep(0.1)
        _queue(engine, number=1)
        worker.wake()

        assert _wait_for(lambda: numbers(engine) == [1], 2)


def test_a_lost_wake_costs_only_the_sweep(engine: sa.Engine) -> None:
    """Work nobody was woken for is found by the next sweep."""
    with _working(EmbeddedWorker(engine, TASKS, sweep=timedelta(seconds=0.2))):
        time.sleep(0.1)
        _queue(engine, number=1)

        assert _wait_for(lambda: numbers(engine) == [1], 3)


def test_slow_mail_does_not_delay_the_rest(engine: sa.Engine) -> None:
    """Each queue has a thread: while one waits for a relay, the other goes on."""
    relay = threading.Event()

    def hang(run: Run) -> None:
        relay.wait(10)

    with _working(EmbeddedWorker(engine, {**TASKS, "hang": hang}, sweep=NEVER)) as worker:
        _queue(engine, "hang", queue="mail")
        _queue(engine, number=1)
        worker.wake()
        done = _wait_for(lambda: numbers(engine) == [1])
        relay.set()

    assert done


def test_stopping_finishes_the_job_in_hand_and_begins_no_other(engine: sa.Engine) -> None:
    """After a stop the running job is done, the next one untouched."""
    started = threading.Event()

    def slow(run: Run, number: int) -> None:
        started.set()
        time.sleep(0.3)
        TASKS["effect"](run, number=number)

    worker = EmbeddedWorker(engine, {"slow": slow}, sweep=NEVER)
    _queue(engine, "slow", number=1)
    _queue(engine, "slow", number=2)
    worker.start()
    started.wait(10)

    assert worker.stop()

    assert numbers(engine) == [1]
    with reading_session(engine) as session:
        left = session.execute(sa.select(Job.state, Job.attempts).order_by(Job.id)).all()
    assert [tuple(row) for row in left] == [(JobState.DONE, 1), (JobState.READY, 0)]


def test_a_worker_survives_a_database_that_does_not_answer(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failing database is reported, left in peace for a moment, and then used again."""
    broken = threading.Event()
    broken.set()

    @sa.event.listens_for(engine, "engine_connect")
    def _refuse(connection: sa.Connection) -> None:
        if broken.is_set() and threading.current_thread().name.startswith("jobs-"):
            raise sa.exc.OperationalError("connect", {}, ConnectionError("server away"))

    with _working(EmbeddedWorker(engine, TASKS, sweep=timedelta(seconds=0.1))):
        _queue(engine, number=1)
        time.sleep(0.3)
        assert numbers(engine) == []
        broken.clear()

        assert _wait_for(lambda: numbers(engine) == [1])
    assert "worker disturbed" in capsys.readouterr().out
