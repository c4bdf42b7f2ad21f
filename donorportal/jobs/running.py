"""Run claimed jobs: the effect and `done` commit together, or neither does."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import reading_session, snapshot, writing_session
from donorportal.jobs import waking
from donorportal.jobs.failing import record_failure
from donorportal.jobs.leases import Renewal
from donorportal.jobs.models import Job, JobState, Queue
from donorportal.jobs.queueing import Claimed, claim

log = structlog.get_logger()

Task = Callable[..., None]
"""Called as ``task(run, **args)``."""

LEASE = timedelta(seconds=60)
"""How long the jobs of a killed worker wait; a living one renews its leases."""

# Built once: putting a statement together costs more than running it.
_JOB = cast("sa.Table", Job.__table__)
_HELD = (
    sa.update(_JOB)
    .where(_JOB.c.id == sa.bindparam("this_job"), _JOB.c.owner == sa.bindparam("this_owner"))
    .where(_JOB.c.state == JobState.READY)
    .values(owner=_JOB.c.owner)
)
_DONE = _HELD.values(state=JobState.DONE, owner=None, finished_at=sa.bindparam("finished_at"))


class LeaseLost(Exception):  # noqa: N818 - named for what happened
    """Somebody else has the job now; whatever this run was about to write is rolled back."""


class Run:
    """One attempt at one job, as its task sees it.

    A task that only writes to the database opens `finishing` and does everything there. A task
    that calls the network reads first, calls with no transaction open, then opens `finishing`.
    A task that finishes nothing itself is marked done when it returns.
    """

    def __init__(
        self,
        engine: sa.Engine,
        claimed: Claimed,
        owner: str,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.job_id = claimed.id
        self.attempt = claimed.attempts
        self.finished = False
        self._engine = engine
        self._owner = owner
        self._wake = wake

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a short session that can only read."""
        with reading_session(self._engine) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Open a connection that sees one moment for as long as it reads; see ``db.snapshot``."""
        with snapshot(self._engine) as connection:
            yield connection

    @contextmanager
    def noting(self) -> Iterator[Session]:
        """Open a transaction that belongs to the job but leaves it unfinished.

        Raises:
            LeaseLost: Somebody else has the job.

        """
        with self._fenced(_HELD, {}) as session:
            yield session

    @contextmanager
    def finishing(self) -> Iterator[Session]:
        """Open the one transaction that holds the task's effect and marks the job done.

        Raises:
            LeaseLost: Somebody else has the job, or this run has finished it already.

        """
        with self._fenced(_DONE, {"finished_at": clock.now()}) as session:
            yield session
        self.finished = True

    @contextmanager
    def _fenced(self, fence: sa.Update, values: dict[str, Any]) -> Iterator[Session]:
        values |= {"this_job": self.job_id, "this_owner": self._owner}
        with writing_session(self._engine) as session:
            # This comes first and locks the row: nobody can claim it while the effect is made.
            if session.connection().execute(fence, values).rowcount != 1:
                raise LeaseLost(self.job_id)
            yield session
        if waking.take_mark(session):
            self._wake()


def drain(
    engine: sa.Engine,
    tasks: Mapping[str, Task],
    *,
    queue: str = Queue.DEFAULT,
    lease: timedelta = LEASE,
    batch: int = 1,
    stop: Callable[[], bool] = lambda: False,
    wake: Callable[[], None] = lambda: None,
) -> int:
    """Run due jobs of *queue* until there are none, or *stop* says so; return how many ran.

    *batch* jobs are claimed at once, which saves commits where jobs are short; where they are
    slow, the others would only wait. *wake* is called when a task queued more work.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database does not answer; leases end by themselves.

    """
    owner = str(uuid4())
    ran = 0
    with Renewal(engine, owner, lease) as renewal:
        while not stop():
            claimed = claim(engine, owner, queue=queue, lease=lease, limit=batch)
            if not claimed:
                break
            while claimed and not stop():
                renewal.hold([job.id for job in claimed])
                _run(engine, claimed.pop(0), owner, tasks, wake)
                ran += 1
            _hand_back(engine, owner, claimed)
    return ran


def _run(
    engine: sa.Engine,
    job: Claimed,
    owner: str,
    tasks: Mapping[str, Task],
    wake: Callable[[], None],
) -> None:
    run = Run(engine, job, owner, wake)
    started = time.monotonic()
    try:
        tasks.get(job.task, _unknown)(run, **job.args)
        if not run.finished:
            with run.finishing():
                pass
    except LeaseLost:
        log.info("job taken over", job=job.id, task=job.task)
    except Exception as error:  # noqa: BLE001 - whatever a task raises, its job must be told
        record_failure(engine, job, owner, error)
    else:
        log.info("job done", job=job.id, task=job.task, ms=_milliseconds_since(started))


def _unknown(run: Run, **_args: object) -> None:
    """Fail, and be tried again: during an update an older worker may meet a newer task."""
    raise LookupError(f"this worker does not know the task of job {run.job_id}")


def _hand_back(engine: sa.Engine, owner: str, jobs: list[Claimed]) -> None:
    """Make claimed jobs that were not begun due again, and give them their attempt back."""
    if not jobs:
        return
    with writing_session(engine) as session:
        session.execute(
            sa.update(Job)
            .where(Job.id.in_([job.id for job in jobs]), Job.owner == owner)
            .values(run_at=clock.now(), owner=None, attempts=Job.attempts - 1)
        )


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
