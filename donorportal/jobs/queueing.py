"""Queue work with its cause, claim it by lease, bring dead work back."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from donorportal import clock
from donorportal.db import UtcDateTime
from donorportal.jobs import waking
from donorportal.jobs.models import Job, JobState, Queue

log = structlog.get_logger()

_JOB = cast("sa.Table", Job.__table__)
_LOST = "The process that ran this job ended without a word, on the last attempt."


class Claimed(NamedTuple):
    """One job that is ours until its lease ends."""

    id: int
    task: str
    args: dict[str, Any]
    attempts: int
    """Counts the one about to be made."""
    max_attempts: int


def enqueue(
    session: Session,
    task: str,
    /,
    *,
    key: str | None = None,
    delay: timedelta = timedelta(0),
    queue: str = Queue.DEFAULT,
    max_attempts: int = 12,
    **args: Any,
) -> bool:
    """Add a job to the caller's transaction; False if a job with this *key* is known already.

    *args* must be JSON and hold row ids rather than personal data: they are kept with the job.
    Twelve attempts reach over about six hours.

    Raises:
        ValueError: No worker drains this *queue*.

    """
    now = clock.now()
    row = {
        "queue": Queue(queue),
        "task": task,
        "args": args,
        "key": key,
        "run_at": now + delay,
        "max_attempts": max_attempts,
        "created_at": now,
    }
    connection = session.connection()
    if connection.execute(_insert(connection.dialect.name), row).first() is None:
        return False
    waking.mark(session)
    return True


def claim(
    engine: sa.Engine, owner: str, *, queue: str, lease: timedelta, limit: int = 1
) -> list[Claimed]:
    """Take up to *limit* due jobs for *owner* until the *lease* ends.

    A job on its last attempt whose lease ended is retired instead: a task that kills its process
    never reaches the code that would have given it up.

    Leases are told by our own clock. Clocks that disagree, or a pause, can only make two workers
    run the same job, and then the fence in `Run.finishing` lets one of them finish.
    """
    now = clock.now()
    statement = _claim(on_postgres=engine.dialect.name == "postgresql", alone=limit == 1)
    values = {
        "this_moment": now,
        "lease_end": now + lease,
        "new_owner": owner,
        "of_queue": queue,
        "at_most": limit,
    }
    with engine.begin() as connection:
        rows = connection.execute(statement, values).all()
    for row in rows:
        if row.state == JobState.DEAD:
            log.error("job dead", job=row.id, task=row.task, error=_LOST)
    return sorted(
        Claimed(row.id, row.task, row.args, row.attempts, row.max_attempts)
        for row in rows
        if row.state == JobState.READY
    )


def run_again(session: Session, job_id: int) -> bool:
    """Give a dead job a fresh set of attempts; False if it is not dead (any more)."""
    revived = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.state == JobState.DEAD)
        .values(state=JobState.READY, run_at=clock.now(), attempts=0, owner=None, finished_at=None)
        .returning(Job.id)
    ).first()
    if revived is None:
        return False
    waking.mark(session)
    return True


def run_held_back(session: Session, error_name: str) -> None:
    """Make every job due now that last failed with an error of this name, dead or not."""
    session.execute(
        sa.update(Job)
        .where(Job.state.in_((JobState.READY, JobState.DEAD)), Job.owner.is_(None))
        .where(Job.error.like(f"{error_name}:%"))
        .values(state=JobState.READY, run_at=clock.now(), attempts=0, finished_at=None)
        .execution_options(synchronize_session=False)
    )
    waking.mark(session)


@cache
def _insert(dialect: str) -> ReturningInsert[Any]:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(_JOB).on_conflict_do_nothing(index_elements=["key"]).returning(_JOB.c.id)


@cache
def _claim(*, on_postgres: bool, alone: bool) -> ReturningUpdate[Any]:
    """Build the statement once: putting it together costs more than running it."""
    columns = _JOB.c
    now = sa.bindparam("this_moment", type_=UtcDateTime())
    used_up = columns.attempts >= columns.max_attempts
    chosen = _due(now, alone=alone)
    # A list made once; PostgreSQL could run the query of a plain IN again for each row.
    among = columns.id == sa.any_(sa.func.array(chosen)) if on_postgres else columns.id.in_(chosen)
    return (
        sa.update(_JOB)
        .where(among)
        .values(
            state=sa.case((used_up, JobState.DEAD), else_=JobState.READY),
            error=sa.case((used_up, sa.func.coalesce(columns.error, _LOST)), else_=columns.error),
            finished_at=sa.case((used_up, now), else_=None),
            owner=sa.case((used_up, None), else_=sa.bindparam("new_owner", type_=sa.String())),
            attempts=sa.case((used_up, columns.attempts), else_=columns.attempts + 1),
            run_at=sa.bindparam("lease_end", type_=UtcDateTime()),
        )
        .returning(
            *(columns.id, columns.task, columns.args),
            *(columns.attempts, columns.max_attempts, columns.state),
        )
    )


def _due(now: sa.BindParameter[datetime], *, alone: bool) -> sa.ScalarSelect[int]:
    """Select the oldest due jobs that nobody else is claiming at this moment."""
    columns = _JOB.c
    oldest = (
        sa.select(columns.id)
        .where(columns.queue == sa.bindparam("of_queue"), columns.state == JobState.READY)
        .where(columns.run_at <= now)
        .order_by(columns.run_at, columns.id)
        .with_for_update(skip_locked=True)
    )
    first = oldest.limit(1).scalar_subquery()
    if alone:
        return first
    # A job that was tried before may be one that kills its process, and each crash costs the
    # whole batch an attempt. So it is only taken when it is the oldest, which then runs first:
    # innocent neighbours lose one attempt to it, not all of theirs.
    fresh_or_first = sa.or_(columns.attempts == 0, columns.id == first)
    return oldest.where(fresh_or_first).limit(sa.bindparam("at_most")).scalar_subquery()
