"""Wake the workers after a commit that queued something.

A wake only saves time: a worker that misses it finds the row at its next sweep.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session, sessionmaker

_QUEUED = "donorportal.jobs.queued"


def install(
    target: Session | sessionmaker[Any] | scoped_session[Any], wake: Callable[[], None]
) -> Callable[[], None]:
    """Call *wake* after each commit of *target* that queued a job; return how to undo this.

    *wake* must not raise: the commit has happened and its request must be answered.
    """

    def committed(session: Session) -> None:
        # Releasing a savepoint is reported as a commit too; nobody else can see its rows yet.
        if not session.in_nested_transaction() and take_mark(session):
            wake()

    def rolled_back(session: Session) -> None:
        take_mark(session)

    event.listen(target, "after_commit", committed)
    event.listen(target, "after_rollback", rolled_back)

    def uninstall() -> None:
        event.remove(target, "after_commit", committed)
        event.remove(target, "after_rollback", rolled_back)

    return uninstall


def mark(session: Session) -> None:
    """Note that *session* queued something which workers can see once it commits."""
    session.info[_QUEUED] = True


def take_mark(session: Session) -> bool:
    """Say whether *session* queued something since the last call, and forget it."""
    return session.info.pop(_QUEUED, False) is True
