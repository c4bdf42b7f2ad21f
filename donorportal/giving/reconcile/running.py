"""Starting a comparison, one at a time, and going on with one that was interrupted."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.reconcile import balancing, recording
from donorportal.giving.reconcile.desk import Desk
from donorportal.giving.reconcile.models import (
    STANDING,
    Difference,
    ReconcileDay,
    ReconcileMark,
    ReconcileRun,
)
from donorportal.giving.reconcile.repairing import book_as_other, repair
from donorportal.giving.reconcile.walking import LISTS, OVERLAP, STEPS, Walker
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway

TASK = "giving.reconcile"
REQUEST_TASK = "giving.reconcile_now"
REPAIR_TASK = "giving.repair_difference"
# So long after its last sign of life a run belongs to whoever comes; one object can take a minute.
_PULSE = timedelta(minutes=2)
# By the clock we look at what is at least so old: what is younger is on its way to us.
_GRACE = timedelta(minutes=10)


class RunUnderWay(Exception):  # noqa: N818 - named for what happened
    """A comparison is under way in another process."""


def compare(
    desk: Desk,
    gateway: Gateway,
    settings: Settings,
    *,
    actor: str,
    repairs: bool,
    since: datetime | None = None,
    until: datetime | None = None,
    tell: Callable[[ReconcileRun], None] = lambda _run: None,
) -> ReconcileRun:
    """Compare everything, or go on with the comparison that was interrupted; return how it ended.

    Without *since*, each list begins where the last comparison ended, and an overlap earlier.

    Raises:
        RunUnderWay: Another process is at it.
        GatewayUnavailable: No definite answer; the next call goes on from there.

    """
    owner = str(uuid4())
    with desk.noting() as session:
        run_id = _take(
            session, owner, settings, actor=actor, repairs=repairs, since=since, until=until
        )
    try:
        return Walker(desk, gateway, settings, run_id=run_id, owner=owner).walk(tell)
    except Exception:
        with desk.noting() as session:
            _let_go(session, run_id, owner)
        raise


def by_the_clock(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Compare and repair, every night, where the setting says so.

    Raises:
        RunUnderWay: Somebody else is at it; the job tries again later.
        GatewayUnavailable: No definite answer; the same.

    """
    if settings.reconcile == "nightly":
        until = clock.now() - _GRACE
        compare(run, gateway, settings, actor="system", repairs=True, until=until)


def on_request(run: Run, gateway: Gateway, settings: Settings, *, actor: str) -> None:
    """Compare because a staff member asked, and repair nothing: each row has its own button.

    Raises:
        RunUnderWay: Somebody else is at it; the job tries again later.
        GatewayUnavailable: No definite answer; the same.

    """
    compare(run, gateway, settings, actor=actor, repairs=False)


def repair_one(
    run: Run, gateway: Gateway, settings: Settings, *, difference: int, actor: str, other: bool
) -> None:
    """Repair the difference that a staff member chose; *other* books it as no gift.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        row = session.get_one(Difference, difference)
        stands, found = row.state in STANDING, recording.as_found(row)
    if stands and other:
        book_as_other(run, gateway, settings, found, by=actor)
    elif stands:
        repair(run, gateway, settings, found, by=actor)


def last_run(session: Session) -> ReconcileRun | None:
    """Return the last comparison that came to its end."""
    ended = sa.select(ReconcileRun).where(ReconcileRun.finished_at.is_not(None))
    return session.scalar(ended.order_by(ReconcileRun.finished_at.desc()).limit(1))


def run_under_way(session: Session) -> ReconcileRun | None:
    """Return the comparison that is under way."""
    return session.scalar(sa.select(ReconcileRun).where(ReconcileRun.standing.is_(True)))


def standing(session: Session, *, after: int = 0, at_most: int = 50) -> Sequence[Difference]:
    """Return differences that stand, the oldest first."""
    return session.scalars(
        sa.select(Difference)
        .where(Difference.state.in_(STANDING), Difference.id > after)
        .order_by(Difference.id)
        .limit(at_most)
    ).all()


def count_standing(session: Session) -> int:
    """Return how many differences stand."""
    count = sa.select(sa.func.count()).select_from(Difference)
    return session.scalar(count.where(Difference.state.in_(STANDING))) or 0


def closed_since(session: Session, moment: datetime) -> Sequence[Difference]:
    """Return the differences that were closed since a moment, the oldest first."""
    closed = sa.select(Difference).where(Difference.closed_at >= moment)
    return session.scalars(closed.order_by(Difference.id)).all()


def _take(
    session: Session,
    owner: str,
    settings: Settings,
    *,
    actor: str,
    repairs: bool,
    since: datetime | None,
    until: datetime | None,
) -> int:
    """Begin a run, or take over the one whose process has ended without a word."""
    now = clock.now()
    run = session.scalar(
        sa.select(ReconcileRun).where(ReconcileRun.standing.is_(True)).with_for_update()
    )
    if run is not None:
        if run.owner is not None and now - run.pulse_at < _PULSE:
            raise RunUnderWay(f"since {run.started_at:%Y-%m-%d %H:%M} UTC")
        run.owner, run.pulse_at, run.repairs = owner, now, run.repairs or repairs
        return run.id
    session.execute(sa.delete(ReconcileDay))
    begins = since or _left_off(session)
    run = ReconcileRun(
        standing=True,
        owner=owner,
        pulse_at=now,
        actor=actor,
        repairs=repairs,
        started_at=now,
        since=balancing.day_begins(begins, settings) if begins else None,
        until=until,
        step=STEPS[0],
    )
    session.add(run)
    session.flush()  # Its id is needed by the caller.
    return run.id


def _left_off(session: Session) -> datetime | None:
    """Return where the lists go on; None while one of them was never walked to its end."""
    marks = session.scalars(sa.select(ReconcileMark.walked_until)).all()
    return min(marks) - OVERLAP if len(marks) == len(LISTS) else None


def _let_go(session: Session, run_id: int, owner: str) -> None:
    session.execute(
        sa.update(ReconcileRun)
        .where(ReconcileRun.id == run_id, ReconcileRun.owner == owner)
        .values(owner=None)
        .execution_options(synchronize_session=False)
    )
