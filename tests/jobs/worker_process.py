"""A worker in a process of its own, to be killed."""

import multiprocessing
import os
import time
from datetime import timedelta
from multiprocessing.process import BaseProcess

from donorportal.jobs.running import drain
from tests.jobs.effects import TASKS, engine_at

# Workers are forked from a process that has imported everything: a new one begins within
# milliseconds, and inherits no thread or connection of the test's.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.jobs.worker_process"])


def start(url: str, *, lease: float = 1.0, batch: int = 1) -> BaseProcess:
    """Start a worker; the caller ends it."""
    worker = _CONTEXT.Process(target=_work, args=(url, lease, batch), daemon=True)
    worker.start()
    return worker


def end(worker: BaseProcess) -> None:
    """Kill a worker as a crash would."""
    worker.kill()
    worker.join()
    worker.close()


def _work(url: str, lease: float, batch: int) -> None:
    engine = engine_at(url)
    parent = os.getppid()
    while os.getppid() == parent:
        drain(engine, TASKS, lease=timedelta(seconds=lease), batch=batch)
        time.sleep(0.02)
