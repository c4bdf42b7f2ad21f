"""What happens to a job whose task raised: later again, or dead."""

import random
import re
import traceback
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from donorportal import clock
from donorportal.db import writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import Claimed

log = structlog.get_logger()

_FIRST_RETRY = timedelta(seconds=5)
_LONGEST_RETRY = timedelta(hours=1)
_ADDRESS = re.compile(r"[^\s<>\"'(),;:=]{1,64}@[^\s<>\"'(),;:=]{1,255}")
_LONGEST_TEXT = 2000


class GiveUp(Exception):  # noqa: N818 - an instruction, not a mishap
    """Raised by a task whose work can never succeed: the job is dead at once."""


def record_failure(engine: sa.Engine, job: Claimed, owner: str, error: Exception) -> None:
    """Make the job due again after a pause, or dead; nothing if somebody else has it now.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database does not answer; the lease ends by itself.

    """
    dead = isinstance(error, GiveUp) or job.attempts >= job.max_attempts
    now = clock.now()
    text = describe(error)
    log.error("job dead" if dead else "job failed", job=job.id, task=job.task, error=text)
    with writing_session(engine) as session:
        session.execute(
            sa.update(Job)
            .where(Job.id == job.id, Job.owner == owner, Job.state == JobState.READY)
            .values(
                state=JobState.DEAD if dead else JobState.READY,
                run_at=now if dead else now + pause_after(job.attempts),
                finished_at=now if dead else None,
                owner=None,
                error=text,
            )
        )


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait: three times as long each time, never in step with other jobs."""
    pause = min(_FIRST_RETRY * 3.0 ** min(attempts - 1, 10), _LONGEST_RETRY)
    return pause * random.uniform(0.5, 1)  # noqa: S311 - to spread load, not to keep a secret


def describe(error: Exception, *, frames: int = 4) -> str:
    """Return the error's type, message and place, without anybody's address or data."""
    text = f"{type(error).__name__}: {_ADDRESS.sub('[address]', _message(error))}"
    innermost = traceback.extract_tb(error.__traceback__)[-frames:]
    places = [f"\n  {Path(one.filename).name}:{one.lineno} {one.name}" for one in innermost]
    return text[: _LONGEST_TEXT - sum(map(len, places))] + "".join(places)


def _message(error: Exception) -> str:
    if not isinstance(error, DBAPIError):
        return str(error)
    # The text of a database error quotes the row; its code and constraint are enough to find it.
    original = error.orig
    constraint = getattr(getattr(original, "diag", None), "constraint_name", None)
    code = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
    return " ".join(str(part) for part in (type(original).__name__, code, constraint) if part)
