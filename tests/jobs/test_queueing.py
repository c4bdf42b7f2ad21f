"""Jobs are queued with their cause and claimed by one worker at a time."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import time_machine
from sqlalchemy.orm import Session

from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import claim, enqueue, run_again

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _job(engine: sa.Engine) -> Job:
    with reading_session(engine) as session:
        return session.scalars(sa.select(Job)).one()


def test_a_rolled_back_cause_leaves_no_job(engine: sa.Engine) -> None:
    """A job exists if and only if the transaction that caused it was committed."""
    with Session(engine) as session:
        assert enqueue(session, "effect", number=1) is True
        session.rollback()

    assert claim(engine, "a", queue="default", lease=MINUTE) == []


def test_the_same_key_is_queued_once(engine: sa.Engine) -> None:
    """A key that is known already queues nothing and says so."""
    with writing_session(engine) as session:
        answers = [enqueue(session, "effect", key="gift:1", number=n) for n in (1, 2)]

    assert answers == [True, False]
    assert _job(engine).args == {"number": 1}


def test_an_unknown_queue_is_refused(engine: sa.Engine) -> None:
    """Work cannot be put where nobody would ever look for it."""
    with writing_session(engine) as session, pytest.raises(ValueError, match="mails"):
        enqueue(session, "effect", queue="mails", number=1)


def test_a_delayed_job_waits(engine: sa.Engine) -> None:
    """A job with a delay cannot be claimed before it is due."""
    with time_machine.travel(NOON, tick=False) as clock:
        with writing_session(engine) as session:
            enqueue(session, "effect", delay=MINUTE, number=1)

        assert claim(engine, "a", queue="default", lease=MINUTE) == []
        clock.shift(MINUTE)
        assert len(claim(engine, "a", queue="default", lease=MINUTE)) == 1


def test_a_claimed_job_is_nobody_elses_until_the_lease_ends(engine: sa.Engine) -> None:
    """While a lease runs no other worker gets the job; afterwards it counts another attempt."""
    with time_machine.travel(NOON, tick=False) as clock:
        with writing_session(engine) as session:
            enqueue(session, "effect", number=1)

        (first,) = claim(engine, "a", queue="default", lease=MINUTE)
        assert claim(engine, "b", queue="default", lease=MINUTE) == []
        clock.shift(MINUTE)
        (second,) = claim(engine, "b", queue="default", lease=MINUTE)

    assert (first.attempts, second.attempts) == (1, 2)
    assert _job(engine).owner == "b"


def test_a_used_up_job_is_retired_when_its_lease_ends(engine: sa.Engine) -> None:
    """A job whose last attempt never came back is dead and not run again."""
    with time_machine.travel(NOON, tick=False) as clock:
        with writing_session(engine) as session:
            enqueue(session, "effect", max_attempts=1, number=1)
        claim(engine, "a", queue="default", lease=MINUTE)
        clock.shift(MINUTE)

        assert claim(engine, "b", queue="default", lease=MINUTE) == []

    job = _job(engine)
    assert (job.state, job.owner, job.attempts) == (JobState.DEAD, None, 1)
    assert job.finished_at == NOON + MINUTE
    assert "ended without a word" in (job.error or "")


def test_a_dead_job_can_be_run_again(engine: sa.Engine) -> None:
    """Staff give a dead job all its attempts back; a living one is left alone."""
    with writing_session(engine) as session:
        enqueue(session, "effect", max_attempts=1, number=1)
    job_id = _job(engine).id
    with writing_session(engine) as session:
        assert run_again(session, job_id) is False
        session.execute(sa.update(Job).values(state=JobState.DEAD, attempts=1))

    with writing_session(engine) as session:
        assert run_again(session, job_id) is True

    (again,) = claim(engine, "a", queue="default", lease=MINUTE)
    assert (again.id, again.attempts) == (job_id, 1)


def test_jobs_are_claimed_oldest_first(engine: sa.Engine) -> None:
    """A batch holds the oldest due jobs, in the order in which they were queued."""
    with writing_session(engine) as session:
        for number in range(5):
            enqueue(session, "effect", number=number)

    claimed = claim(engine, "a", queue="default", lease=MINUTE, limit=3)

    assert [job.args["number"] for job in claimed] == [0, 1, 2]


def test_a_batch_takes_at_most_one_job_that_was_tried_before(engine: sa.Engine) -> None:
    """Jobs that may kill their process are claimed one by one, and run first."""
    with time_machine.travel(NOON, tick=False) as clock:
        with writing_session(engine) as session:
            for number in range(3):
                enqueue(session, "effect", number=number)
        claim(engine, "a", queue="default", lease=MINUTE, limit=3)
        clock.shift(MINUTE)
        with writing_session(engine) as session:
            enqueue(session, "effect", number=3)

        claimed = claim(engine, "b", queue="default", lease=MINUTE, limit=3)

    assert [job.args["number"] for job in claimed] == [0, 3]


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_a_claim_passes_over_rows_another_worker_is_claiming(engine: sa.Engine) -> None:
    """Two workers that claim at the same moment get different jobs and do not wait."""
    with writing_session(engine) as session:
        for number in range(2):
            enqueue(session, "effect", number=number)
    with Session(engine) as other:
        locked = other.scalars(sa.select(Job.id).order_by(Job.id).limit(1).with_for_update()).one()

        (claimed,) = claim(engine, "b", queue="default", lease=MINUTE)

    assert claimed.id != locked


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_a_claim_reads_the_index_of_ready_jobs(engine: sa.Engine) -> None:
    """Finding work costs the same however long the history of finished jobs is."""
    with writing_session(engine) as session:
        session.connection().exec_driver_sql(
            "INSERT INTO job (queue, task, args, state, run_at, attempts, max_attempts, created_at)"
            " SELECT 'default', 'effect', '{}', 'done', now(), 1, 12, now()"
            " FROM generate_series(1, 5000)"
        )
        session.connection().exec_driver_sql("ANALYZE job")
    plan: list[str] = []

    def explain(
        connection: sa.Connection,
        cursor: object,
        statement: str,
        parameters: dict[str, object],
        *_rest: object,
    ) -> None:
        if statement.startswith("UPDATE job"):
            rows = connection.connection.cursor().execute("EXPLAIN " + statement, parameters)
            plan.extend(row[0] for row in rows)

    sa.event.listen(engine, "before_cursor_execute", explain)
    claim(engine, "a", queue="default", lease=MINUTE, limit=5)

    text = "\n".join(plan)
    assert "ix_job_ready" in text
    assert "Seq Scan" not in text
