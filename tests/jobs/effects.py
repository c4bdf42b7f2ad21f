"""Tasks whose effects can be counted."""

import os
import random
import signal
import time

import sqlalchemy as sa

from donorportal.db import reading_session, tune
from donorportal.jobs.failing import GiveUp
from donorportal.jobs.running import Run, Task

# No unique constraint: a second effect must show, not fail.
effect_table = sa.Table(
    "test_effect", sa.MetaData(), sa.Column("number", sa.Integer), sa.Column("at", sa.Float)
)


def effect(run: Run, number: int) -> None:
    """Write one row and finish."""
    with run.finishing() as session:
        session.execute(effect_table.insert().values(number=number, at=time.time()))


def slow_effect(run: Run, number: int, milliseconds: int = 10) -> None:
    """Write one row and finish, with a moment before the commit in which to be killed."""
    with run.finishing() as session:
        session.execute(effect_table.insert().values(number=number, at=time.time()))
        time.sleep(milliseconds / 1000)


def late_effect(run: Run, number: int, seconds: float) -> None:
    """Take a while, as a call over the network does, then write one row and finish."""
    time.sleep(seconds)
    effect(run, number)


def flaky_effect(run: Run, number: int) -> None:
    """Fail half of the time, in the middle of the effect."""
    with run.finishing() as session:
        session.execute(effect_table.insert().values(number=number, at=time.time()))
        if random.random() < 0.5:
            raise ConnectionError(f"no luck with {number}")


def failing(run: Run, message: str) -> None:
    """Fail always."""
    raise ValueError(message)


def hopeless(run: Run) -> None:
    """Give up at once."""
    raise GiveUp("this gift does not exist")


def killer(run: Run) -> None:
    """End the process as a crash would."""
    os.kill(os.getpid(), signal.SIGKILL)


TASKS: dict[str, Task] = {
    "effect": effect,
    "slow": slow_effect,
    "late": late_effect,
    "flaky": flaky_effect,
    "failing": failing,
    "hopeless": hopeless,
    "killer": killer,
}


def numbers(engine: sa.Engine) -> list[int]:
    """Return the number of every effect there was, in order."""
    with reading_session(engine) as session:
        return sorted(session.scalars(sa.select(effect_table.c.number)))


def engine_at(url: str) -> sa.Engine:
    """Return a tuned engine for *url*."""
    engine = sa.create_engine(url)
    tune(engine)
    return engine
