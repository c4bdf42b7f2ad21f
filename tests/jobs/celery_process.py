"""A Celery worker in a process of its own: ``celery_process BROKER_URL DATABASE_URL SWEEP``."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from donorportal.jobs.celery_wake import run_worker
from donorportal.jobs.running import drain
from tests.jobs.effects import TASKS, engine_at

_ROOT = Path(__file__).parents[2]


def start(broker_url: str, url: str, *, sweep: float = 0.5) -> subprocess.Popen[bytes]:
    """Start a worker of two processes, in a session that can be killed as a whole."""
    command = [sys.executable, "-m", "tests.jobs.celery_process", broker_url, url, str(sweep)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def end(worker: subprocess.Popen[bytes]) -> None:
    """Kill the worker and its children as a crash of the machine would."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _run(broker_url: str, url: str, sweep: str) -> None:
    threading.Thread(target=_end_with_the_test, args=(os.getppid(),), daemon=True).start()

    def prepare() -> Callable[[str], None]:
        engine = engine_at(url)
        lease = timedelta(seconds=1)

        def look(queue: str) -> None:
            drain(engine, TASKS, queue=queue, lease=lease)

        return look

    run_worker(
        broker_url, prepare, queues=("default",), processes=2, sweep=timedelta(seconds=float(sweep))
    )


def _end_with_the_test(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _run(*sys.argv[1:])
