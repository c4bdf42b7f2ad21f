"""A commit that queued work wakes the workers; nothing else does."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from donorportal.jobs import waking
from donorportal.jobs.models import Job
from donorportal.jobs.queueing import enqueue


@pytest.fixture
def woken() -> list[str]:
    """One entry for each wake."""
    return []


@pytest.fixture
def session(engine: sa.Engine, woken: list[str]) -> Iterator[Session]:
    """A session whose commits wake."""
    factory = sessionmaker(engine)
    waking.install(factory, lambda: woken.append("woken"))
    with factory() as session:
        yield session


def test_a_commit_that_queued_a_job_wakes_once(session: Session, woken: list[str]) -> None:
    """Several jobs in one transaction are one wake, after the commit."""
    enqueue(session, "effect", number=1)
    enqueue(session, "effect", number=2)
    assert woken == []

    session.commit()
    session.commit()

    assert woken == ["woken"]


def test_a_commit_without_jobs_does_not_wake(session: Session, woken: list[str]) -> None:
    """A transaction that queued nothing, or only known keys, leaves workers alone."""
    enqueue(session, "effect", key="k", number=1)
    session.commit()
    woken.clear()

    enqueue(session, "effect", key="k", number=1)
    session.commit()

    assert woken == []


def test_a_rollback_does_not_wake(session: Session, woken: list[str]) -> None:
    """What was rolled back is forgotten, also by the next commit."""
    enqueue(session, "effect", number=1)
    session.rollback()
    session.scalar(sa.select(sa.func.count(Job.id)))
    session.commit()

    assert woken == []


def test_a_savepoint_does_not_wake_early(session: Session, woken: list[str]) -> None:
    """The wake waits for the real commit, when other connections can see the row."""
    with session.begin_nested():
        enqueue(session, "effect", number=1)
    assert woken == []

    session.commit()

    assert woken == ["woken"]


def test_a_scoped_session_wakes_until_it_is_told_not_to(
    engine: sa.Engine, woken: list[str]
) -> None:
    """The web's session is a scoped one; what was installed can be taken off again."""
    scoped = scoped_session(sessionmaker(engine))
    uninstall = waking.install(scoped, lambda: woken.append("woken"))
    enqueue(scoped(), "effect", number=1)
    scoped.commit()

    uninstall()
    enqueue(scoped(), "effect", number=2)
    scoped.commit()
    scoped.remove()

    assert woken == ["woken"]
