"""When the books are wrong, posting stops, the site stays up, and somebody is told once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
import sqlalchemy as sa
import time_machine

from donorportal import clock
from donorportal.db import writing_session
from donorportal.giving import guarding
from donorportal.giving.models import Gift
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import enqueue
from donorportal.ledger import halting, sums
from donorportal.ledger.models import LedgerHalt, Posting
from tests.commands import run
from tests.portal_in_process import Portal


@contextmanager
def behind_the_back(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that no trigger watches, as somebody with the database's password has."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            yield connection
            return
        found = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.exec_driver_sql(found).all()
        for name, _ in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection
        for _, statement in triggers:
            connection.exec_driver_sql(statement)


def corrupt(engine: sa.Engine, change: str) -> None:
    """Change a row behind the program's back."""
    with behind_the_back(engine) as connection:
        connection.execute(sa.text(change.replace(":", "\\:")))


def check(portal: Portal, task: str) -> None:
    """Let the check run some minutes later, as the clock would."""
    with time_machine.travel(clock.now() + 2 * sums.MARGIN):
        with writing_session(portal.engine) as session:
            enqueue(session, task)
        portal.work()


def _give(portal: Portal) -> str:
    landing = portal.give(amount="50", email="ada@example.org")
    portal.send_all()
    return landing


def _run_dead_jobs_dry(portal: Portal) -> None:
    """Use up every attempt of what waits, as hours of trying again would."""
    with writing_session(portal.engine) as session:
        session.execute(
            sa.update(Job).where(Job.state == JobState.READY).values(state=JobState.DEAD)
        )


def test_a_wrong_amount_halts_posting_and_only_posting(portal: Portal) -> None:
    """From the corrupted row to the mail, through a gift made meanwhile, to going on again."""
    _give(portal)
    worse = "UPDATE posting SET amount_minor = amount_minor + 5 WHERE account LIKE 'gifts:%'"
    corrupt(portal.engine, worse)

    for _ in range(2):
        check(portal, guarding.CHECK_ALL_TASK)

    [halt] = portal.scalars(sa.select(LedgerHalt))
    assert "is off by 5 USD" in halt.findings[0]
    [mail] = [m for m in portal.mails() if "halted" in m["subject"]]
    assert "off by 5 USD" in mail["text"]

    landing = portal.give(amount="70", email="rio@example.org")
    portal.send_all()
    assert ["received", "started"] == sorted(portal.scalars(sa.select(Gift.status)))
    assert 200 == portal.client().get("/give").status_code
    page = portal.land(landing)
    assert 200 == page.status_code
    assert "has arrived and is being booked" in page.text
    assert [] == portal.mails("rio@example.org")

    _run_dead_jobs_dry(portal)
    assert "off by 5 USD" in guarding.resume(portal.engine, by="operator")[0]
    assert [True] == portal.scalars(sa.select(LedgerHalt.standing))

    corrupt(portal.engine, worse.replace("+ 5", "- 5"))
    resumed = run(portal, "ledger", "resume")
    assert (0, True) == (resumed.returncode, "posting goes on" in resumed.stdout)
    portal.work()
    assert ["received", "received"] == portal.scalars(sa.select(Gift.status))
    assert 1 == len(portal.mails("rio@example.org"))
    assert "operator" == portal.scalars(sa.select(LedgerHalt.lifted_by))[0]


_WRONGS: dict[str, tuple[str, str]] = {
    "an amount": (
        "UPDATE posting SET amount_minor = amount_minor + 5 WHERE account LIKE 'gifts:%'",
        "off by 5",
    ),
    "a posting": ("DELETE FROM posting WHERE account LIKE 'gifts:%'", "off by"),
    "both postings": ("DELETE FROM posting", "no postings"),
    "a gift's amount": ("UPDATE gift SET amount_minor = 6000", "another amount than its gift"),
    "a gift's charge": ("UPDATE gift SET charge_remote_id = 'ch_other'", "is no received gift"),
}


@pytest.mark.parametrize("wrong", _WRONGS)
def test_the_check_of_every_ten_minutes_finds_it(portal: Portal, wrong: str) -> None:
    """What was posted since the last check is looked at, and the first wrong row halts posting."""
    statement, sentence = _WRONGS[wrong]
    _give(portal)
    with _restored(portal.engine):
        corrupt(portal.engine, statement)

        check(portal, guarding.CHECK_RECENT_TASK)

        [halt] = portal.scalars(sa.select(LedgerHalt))
        assert any(sentence in finding for finding in halt.findings), halt.findings


def test_right_books_are_checked_once(portal: Portal) -> None:
    """A check that finds nothing moves its mark on and halts nothing."""
    _give(portal)
    check(portal, guarding.CHECK_ALL_TASK)
    check(portal, guarding.ROLL_TASK)
    check(portal, guarding.CHECK_RECENT_TASK)

    assert [] == portal.scalars(sa.select(LedgerHalt.id))
    assert [] == portal.scalars(sa.select(Job.error).where(Job.error.is_not(None)))


def test_only_one_halt_stands(portal: Portal) -> None:
    """A second finding during a halt is no second halt; after lifting it there can be a new one."""
    with writing_session(portal.engine) as session:
        first = halting.halt(session, ["one"])
        again = halting.halt(session, ["two"])
        lifted = halting.lift(session, by="somebody")
        nothing = halting.lift(session, by="somebody")
        second = halting.halt(session, ["three"])
        halting.lift(session, by="somebody")

    assert first is not None
    assert (None, True, False) == (again, lifted, nothing)
    assert second not in {None, first}


def test_what_is_posted_already_is_no_reason_to_fail(portal: Portal) -> None:
    """During a halt, hearing again of a gift that is booked changes and breaks nothing."""
    _give(portal)
    with writing_session(portal.engine) as session:
        halting.halt(session, ["a test"])

    for event in portal.events():
        assert 200 == portal.send(event).status_code
    portal.work()

    assert [] == portal.scalars(sa.select(Job.error).where(Job.error.is_not(None)))
    with writing_session(portal.engine) as session:
        halting.lift(session, by="a test")


@contextmanager
def _restored(engine: sa.Engine) -> Iterator[None]:
    """Put postings and gifts back as they are now."""
    tables = [cast("sa.Table", of.__table__) for of in (Posting, Gift)]
    with engine.connect() as connection:
        kept = [connection.execute(sa.select(table)).mappings().all() for table in tables]
    yield
    with behind_the_back(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        for table, rows in zip(tables, kept, strict=True):
            connection.execute(sa.delete(table))
            connection.execute(sa.insert(table), [dict(row) for row in rows])
