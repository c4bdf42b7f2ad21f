"""Watching over the books: sums rolled forward, checks by the clock, and a halt when one fails."""

from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from donorportal import letters
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.db import snapshot, writing_session
from donorportal.giving import books
from donorportal.jobs.queueing import run_held_back
from donorportal.jobs.running import Run
from donorportal.ledger import halting, sums
from donorportal.ledger.check import Span

ROLL_TASK = "ledger.roll_sums"
CHECK_RECENT_TASK = "ledger.check_recent"
CHECK_ALL_TASK = "ledger.check_all"
log = structlog.get_logger()

# So many entries at most in one check by the clock; a backlog is caught up with step by step.
_CHECKED_AT_ONCE = 100_000
_MAILED_FINDINGS = 10


def roll_sums(run: Run) -> None:
    """Take everything that was posted into the sums of the accounts, in small transactions."""
    more = True
    while more:
        with run.noting() as session:
            more = sums.roll(session)


def check_recent(run: Run, settings: Settings) -> None:
    """Check what was posted since the last check; halt posting if something is wrong."""
    with run.reading() as session:
        through = sums.settled_through(session.connection())
    with run.snapshot() as connection:
        after = sums.read_mark(connection, sums.CHECKED)
        span = Span(after, min(through, after + _CHECKED_AT_ONCE))
        found = books.recent_violations(connection, span)
    _finish(run, settings, found, span.through)


def check_all(run: Run, settings: Settings) -> None:
    """Check everything there is; halt posting if something is wrong."""
    with run.reading() as session:
        through = sums.settled_through(session.connection())
    with run.snapshot() as connection:
        found = books.violations(connection)
    _finish(run, settings, found, through)


def resume(engine: sa.Engine, *, by: str) -> list[str]:
    """Let posting go on if the books are right, and do at once what was waiting for that.

    Returns what is still wrong; then posting remains halted.
    """
    with snapshot(engine) as connection:
        found = books.violations(connection)
    if not found:
        with writing_session(engine) as session:
            if halting.lift(session, by=by):
                record(session, actor=by, action="resume posting", subject="ledger")
                run_held_back(session, halting.PostingHalted.__name__)
    return found


def _finish(run: Run, settings: Settings, found: Sequence[str], through: int) -> None:
    with run.finishing() as session:
        if not found:
            sums.advance(session, sums.CHECKED, through)
            return
        log.error("the books are wrong", findings=list(found))
        halt_id = halting.halt(session, found)
        if halt_id is not None:
            record(session, actor="system", action="halt posting", subject="ledger")
            _tell_operators(session, halt_id, found, settings)


def _tell_operators(
    session: Session, halt_id: int, found: Sequence[str], settings: Settings
) -> None:
    letters.write(
        session,
        settings,
        "books-halted",
        address=settings.operators_email,
        key=f"books-halted:{halt_id}",
        context={
            "findings": list(found[:_MAILED_FINDINGS]),
            "further": len(found[_MAILED_FINDINGS:]),
            "staff_url": f"{settings.public_url}/staff/",
        },
    )
