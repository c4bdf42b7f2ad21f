"""The effect of a job and its end are one: both happen, or neither."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from donorportal.db import reading_session, writing_session
from donorportal.jobs.failing import describe, pause_after
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import claim, enqueue, run_again
from donorportal.jobs.running import LeaseLost, Run, drain
from tests.jobs.effects import TASKS, effect_table, numbers

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _job(engine: sa.Engine) -> Job:
    with reading_session(engine) as session:
        return session.scalars(sa.select(Job)).one()


def _queue(engine: sa.Engine, task: str, *, max_attempts: int = 12, **args: Any) -> None:
    with writing_session(engine) as session:
        enqueue(session, task, max_attempts=max_attempts, **args)


def test_a_job_is_run_and_done(engine: sa.Engine) -> None:
    """A drained job has its effect and is marked done by the same commit."""
    _queue(engine, "effect", number=7)

    assert drain(engine, TASKS) == 1

    job = _job(engine)
    assert (job.state, job.owner, job.attempts) == (JobState.DONE, None, 1)
    assert job.finished_at is not None
    assert numbers(engine) == [7]
    assert drain(engine, TASKS) == 0


def test_a_task_that_finishes_nothing_is_done_when_it_returns(engine: sa.Engine) -> None:
    """A task without an effect in the database needs no transaction of its own."""
    _queue(engine, "nothing")

    drain(engine, {"nothing": lambda _run: None})

    assert _job(engine).state == JobState.DONE


def test_a_failed_job_is_tried_again_after_a_pause(engine: sa.Engine) -> None:
    """A task that raises leaves no effect, a reason, and a later time."""
    with time_machine.travel(NOON, tick=False):
        _queue(engine, "failing", message="the relay is away")
        drain(engine, TASKS)

    job = _job(engine)
    assert (job.state, job.owner, job.attempts) == (JobState.READY, None, 1)
    assert NOON + timedelta(seconds=2.5) <= job.run_at <= NOON + timedelta(seconds=5)
    assert (job.error or "").startswith("ValueError: the relay is away\n")
    assert "effects.py" in (job.error or "")


def test_an_error_inside_the_effect_undoes_it(engine: sa.Engine) -> None:
    """What a task wrote before it raised is rolled back together with `done`."""

    def half(run: Run) -> None:
        with run.finishing() as session:
            session.execute(effect_table.insert().values(number=1))
            raise ValueError("half-way")

    _queue(engine, "half")
    drain(engine, {"half": half})

    assert numbers(engine) == []
    assert _job(engine).state == JobState.READY


def test_after_the_last_attempt_a_job_is_dead_until_staff_run_it_again(engine: sa.Engine) -> None:
    """A job that used up its attempts stays visible as dead and can be revived."""
    with time_machine.travel(NOON, tick=False) as clock:
        _queue(engine, "failing", max_attempts=2, message="no")
        drain(engine, TASKS)
        clock.shift(timedelta(hours=1))
        drain(engine, TASKS)
    dead = _job(engine)
    assert (dead.state, dead.attempts) == (JobState.DEAD, 2)

    with writing_session(engine) as session:
        run_again(session, dead.id)
    drain(engine, {"failing": lambda _run, message: None})

    assert _job(engine).state == JobState.DONE


def test_giving_up_is_final_at_once(engine: sa.Engine) -> None:
    """A task that knows its work can never succeed spends no further attempts."""
    _queue(engine, "hopeless")

    drain(engine, TASKS)

    job = _job(engine)
    assert (job.state, job.attempts) == (JobState.DEAD, 1)
    assert (job.error or "").startswith("GiveUp: this gift does not exist")


def test_a_task_this_worker_does_not_know_is_left_for_a_newer_one(engine: sa.Engine) -> None:
    """During an update an old worker must not bury the new version's work."""
    _queue(engine, "from-the-future")

    drain(engine, TASKS)

    assert _job(engine).state == JobState.READY


def test_of_two_workers_on_one_job_only_the_owner_finishes(engine: sa.Engine) -> None:
    """A worker that outlived its lease cannot add a second effect."""
    with time_machine.travel(NOON, tick=False) as clock:
        _queue(engine, "effect", number=1)
        (stale,) = claim(engine, "a", queue="default", lease=MINUTE)
        clock.shift(MINUTE)
        (current,) = claim(engine, "b", queue="default", lease=MINUTE)

    with pytest.raises(LeaseLost):
        TASKS["effect"](Run(engine, stale, "a"), number=1)
    TASKS["effect"](Run(engine, current, "b"), number=1)
    with pytest.raises(LeaseLost):
        TASKS["effect"](Run(engine, current, "b"), number=1)

    assert numbers(engine) == [1]


def test_a_lost_lease_is_no_failure(engine: sa.Engine) -> None:
    """A runner that lost its job neither retries it nor writes an error into it."""

    def overtaken(run: Run) -> None:
        with writing_session(engine) as session:
            session.execute(sa.update(Job).values(owner="somebody else"))
        with run.finishing() as session:
            session.execute(effect_table.insert().values(number=1))

    _queue(engine, "overtaken")
    drain(engine, {"overtaken": overtaken})

    job = _job(engine)
    assert (job.state, job.owner, job.error) == (JobState.READY, "somebody else", None)
    assert numbers(engine) == []


def test_the_lease_of_a_long_task_is_renewed(engine: sa.Engine) -> None:
    """Work that takes longer than its lease is not given to a second worker."""
    seen: list[int] = []

    def long(run: Run) -> None:
        for _ in range(6):
            time.sleep(0.2)
            seen.append(len(claim(engine, "b", queue="default", lease=MINUTE)))

    _queue(engine, "long")
    drain(engine, {"long": long}, lease=timedelta(seconds=0.6))

    assert seen == [0] * 6
    assert _job(engine).state == JobState.DONE


def test_noting_writes_but_leaves_the_job_open(engine: sa.Engine) -> None:
    """A task can commit something on its way, fenced, and fail afterwards."""

    def noting(run: Run) -> None:
        with run.noting() as session:
            session.execute(effect_table.insert().values(number=run.attempt))
        raise ValueError("later")

    _queue(engine, "noting")
    drain(engine, {"noting": noting})

    assert numbers(engine) == [1]
    assert _job(engine).state == JobState.READY


def test_a_stopped_worker_hands_back_what_it_has_not_begun(engine: sa.Engine) -> None:
    """After a stop the rest of a batch is due at once, with no attempt counted."""
    ran: list[int] = []
    for number in range(3):
        _queue(engine, "counting", number=number)

    drain(
        engine,
        {"counting": lambda _run, number: ran.append(number)},
        batch=3,
        stop=lambda: len(ran) == 1,
    )

    assert ran == [0]
    with reading_session(engine) as session:
        rest = session.scalars(sa.select(Job).where(Job.state == JobState.READY)).all()
    assert [(job.attempts, job.owner) for job in rest] == [(0, None), (0, None)]
    assert drain(engine, {"counting": lambda _run, number: ran.append(number)}) == 2


def test_a_task_that_queues_more_work_wakes_the_workers(engine: sa.Engine) -> None:
    """Work queued by a task is woken after the task's commit, not before."""
    woken: list[str] = []

    def parent(run: Run) -> None:
        with run.finishing() as session:
            enqueue(session, "child", queue="mail")
            woken.append("committing")

    _queue(engine, "parent")
    drain(engine, {"parent": parent}, wake=lambda: woken.append("woken"))

    assert woken == ["committing", "woken"]


def test_reading_holds_no_lock(engine: sa.Engine) -> None:
    """While one task reads, others can write, on SQLite too."""
    _queue(engine, "effect", number=1)
    (job,) = claim(engine, "a", queue="default", lease=MINUTE)

    with Run(engine, job, "a").reading() as session:
        assert session.scalars(sa.select(Job.task)).one() == "effect"
        with writing_session(engine) as other:
            other.execute(effect_table.insert().values(number=1))

    assert numbers(engine) == [1]


def test_what_is_stored_of_an_error_holds_no_personal_data(engine: sa.Engine) -> None:
    """Addresses and the values of a database row are not kept with a failed job."""
    refused = describe(ConnectionError("550 <ada@example.org> unknown"))
    _queue(engine, "effect", number=1)
    try:
        with writing_session(engine) as session:
            session.execute(sa.update(Job).values(state="secret", owner="ada@example.org"))
    except sa.exc.DBAPIError as error:
        violated = describe(error)

    assert refused == "ConnectionError: 550 <[address]> unknown"
    assert "secret" not in violated.splitlines()[0]
    assert "ada" not in violated


def test_a_very_long_error_is_cut_in_no_time() -> None:
    """Whatever a library puts into an error, storing it stays quick and short."""
    began = time.perf_counter()

    text = describe(ValueError("a" * 50_000))

    assert time.perf_counter() - began < 0.5
    assert len(text) <= 2000


def test_pauses_grow_and_are_never_longer_than_an_hour() -> None:
    """Each pause is up to three times the one before, within an hour."""
    longest = [pause_after(attempts) for attempts in (1, 4, 12, 1000)]

    assert longest[0] <= timedelta(seconds=5)
    assert timedelta(seconds=67) < longest[1] <= timedelta(seconds=135)
    assert all(timedelta(minutes=30) <= pause <= timedelta(hours=1) for pause in longest[2:])
