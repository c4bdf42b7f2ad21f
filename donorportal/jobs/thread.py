"""The default worker: one thread for each queue inside the process that takes the requests."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import sqlalchemy as sa
import structlog

from donorportal.jobs.failing import describe
from donorportal.jobs.models import Queue
from donorportal.jobs.running import LEASE, Task, drain

log = structlog.get_logger()

_LONGEST_PAUSE_SECONDS = 60.0


class EmbeddedWorker:
    """Drains every queue when woken, and every *sweep* in case a wake was lost.

    Start it after a fork, never before: threads do not survive one.
    """

    def __init__(
        self,
        engine: sa.Engine,
        tasks: Mapping[str, Task],
        *,
        queues: Sequence[str] = tuple(Queue),
        sweep: timedelta = timedelta(seconds=2),
        lease: timedelta = LEASE,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        """*before_each* runs before each drain, for example `Periodic.enqueue_due`."""
        self._sweep = sweep.total_seconds()
        self._before_each = before_each
        self._stopping = threading.Event()
        self._woken = {queue: threading.Event() for queue in queues}
        self._drains = {
            queue: partial(
                drain,
                engine,
                tasks,
                queue=queue,
                lease=lease,
                stop=self._stopping.is_set,
                wake=self.wake,
            )
            for queue in queues
        }
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to work; a second call does nothing."""
        if self._threads:
            return
        for queue in self._woken:
            thread = threading.Thread(
                target=self._work, args=(queue,), name=f"jobs-{queue}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """Look for work now; never blocks, never raises."""
        for woken in self._woken.values():
            woken.set()

    def stop(self, timeout: timedelta = timedelta(seconds=25)) -> bool:
        """Finish the jobs in hand and begin no other; False if one is still at it.

        What is left then is not lost: its lease ends and another worker takes it.
        """
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + timeout.total_seconds()
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, queue: str) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken[queue].clear()
            try:
                self._before_each()
                self._drains[queue]()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a dead thread would do no work, silently
                failures += 1
                log.warning("worker disturbed", queue=queue, error=describe(error))
            self._pause(queue, failures)

    def _pause(self, queue: str, failures: int) -> None:
        if not failures:
            self._woken[queue].wait(self._sweep)
            return
        # Wakes do not shorten this pause: they would beat on a database that is down.
        self._stopping.wait(min(2.0**failures, _LONGEST_PAUSE_SECONDS))
