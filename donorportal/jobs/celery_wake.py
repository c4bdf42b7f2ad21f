"""Celery wakes many workers on many machines; the rows stay the truth.

A message says "look at this queue" and nothing else. When one is lost, or the broker with all of
them, work waits for the next sweep. This is the only module that imports celery.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

import structlog
from celery import Celery

from donorportal.jobs.models import Queue

log = structlog.get_logger()

_WAKE_EXPIRES = 30
_BROKER_SECONDS = 1
_QUIET_SECONDS = 5.0


def make_waker(broker_url: str) -> Callable[[], None]:
    """Return what wakes the workers behind *broker_url*; it never raises and hardly ever waits."""
    app = _app(broker_url)
    app.conf.broker_transport_options |= {"max_retries": 1, "interval_start": 0}
    quiet_until = 0.0

    def wake() -> None:
        nonlocal quiet_until
        # A request must not wait for a broker that was just found to be away.
        if time.monotonic() < quiet_until:
            return
        try:
            for queue in Queue:
                app.send_task(_task(queue), queue=_celery_queue(queue), expires=_WAKE_EXPIRES)
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own
            quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("wake lost, the sweep will find the work", error=type(error).__name__)

    return wake


def run_worker(
    broker_url: str,
    prepare: Callable[[], Callable[[str], None]],
    *,
    queues: Sequence[str] = tuple(Queue),
    processes: int = 4,
    sweep: timedelta = timedelta(seconds=2),
) -> None:
    """Run a Celery worker until it is told to stop.

    *prepare* is called once in each process, after the fork, where engines and clients may be
    made; it returns what drains a queue. Several workers may sweep: an empty queue costs little.
    """
    app = _app(broker_url)
    prepared = cache(prepare)
    for queue in queues:
        _register(app, queue, prepared)
    app.conf.beat_scheduler = "celery.beat:Scheduler"
    app.conf.beat_schedule = {
        f"sweep-{queue}": {
            "task": _task(queue),
            "schedule": sweep.total_seconds(),
            "options": {
                "queue": _celery_queue(queue),
                "expires": max(2 * sweep.total_seconds(), 1),
            },
        }
        for queue in queues
    }
    app.worker_main(
        [
            "worker",
            "--beat",
            f"--concurrency={processes}",
            f"--queues={','.join(map(_celery_queue, queues))}",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _app(broker_url: str) -> Celery:
    app = Celery("donorportal", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=_BROKER_SECONDS,
        task_acks_late=False,
        task_ignore_result=True,
        task_publish_retry=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_prefetch_multiplier=1,
    )
    if broker_url.startswith(("redis", "valkey", "sentinel")):
        app.conf.broker_transport_options = {"socket_connect_timeout": _BROKER_SECONDS}
    return app


def _register(app: Celery, queue: str, prepared: Callable[[], Callable[[str], None]]) -> None:
    def look() -> None:
        prepared()(queue)

    app.task(look, name=_task(queue))


def _task(queue: str) -> str:
    return f"donorportal.drain.{queue}"


def _celery_queue(queue: str) -> str:
    return f"donorportal-{queue}"
