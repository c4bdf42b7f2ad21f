"""Walking everything, step by step and page by page; each page is a transaction of its own.

Memory does not grow with the number of objects, others can write in between, and after a crash the
run goes on where it was. Money that was found to differ is repaired at once where that is safe.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.payouts.models import Payout
from donorportal.giving.reconcile import balancing, recording
from donorportal.giving.reconcile.comparing import Found, Window
from donorportal.giving.reconcile.desk import Desk
from donorportal.giving.reconcile.kinds import Kind
from donorportal.giving.reconcile.looking import at_objects, at_page, thing_of
from donorportal.giving.reconcile.models import (
    STANDING,
    Difference,
    DifferenceState,
    ReconcileMark,
    ReconcileRun,
)
from donorportal.giving.reconcile.repairing import repair
from donorportal.giving.returns.models import DisputeRecord, Refund, RefundStatus
from donorportal.payments.gateway import Gateway
from donorportal.payments.listing import Thing
from donorportal.payments.returns import DisputeState

OVERLAP = timedelta(days=15)
"""How far each list goes back behind its mark.

A list shows an object by when it was created. Bank debits take up to fourteen days to succeed or
to fail; fees, pages that close and invoices that are paid late come within that time, too. Refunds
and disputes change for months: those that have not ended in our books are asked about by id.
"""

# Subscriptions have no end to their changing, so that all of them are listed every time.
_ALWAYS_WHOLE = frozenset({Thing.SUBSCRIPTION})
LISTS: tuple[Thing, ...] = (
    *(Thing.CHECKOUT, Thing.INVOICE, Thing.CHARGE, Thing.SUBSCRIPTION),
    *(Thing.REFUND, Thing.DISPUTE, Thing.PAYOUT, Thing.MOVEMENT),
)
_UNENDED, _RECEIPTS, _DAYS, _AGAIN, _CLEARING = "unended", "receipts", "days", "again", "clearing"
STEPS: tuple[str, ...] = (*LISTS, _UNENDED, _RECEIPTS, _DAYS, _AGAIN, _CLEARING)
"""In the order in which they are taken."""

_AT_ONCE = 100


class RunLost(Exception):  # noqa: N818 - named for what happened
    """Another process has taken the run over; whatever this one was about to write is undone."""


class Walker:
    """One process at work on one run."""

    def __init__(
        self, desk: Desk, gateway: Gateway, settings: Settings, *, run_id: int, owner: str
    ) -> None:
        self._desk = desk
        self._gateway = gateway
        self._settings = settings
        self._run_id = run_id
        self._owner = owner
        self._others: dict[str, Callable[[ReconcileRun], None]] = {
            _UNENDED: self._look_at_unended,
            _RECEIPTS: self._look_for_receipts,
            _DAYS: self._look_at_days,
            _AGAIN: self._look_again,
            _CLEARING: self._look_at_clearing,
        }

    def walk(self, tell: Callable[[ReconcileRun], None] = lambda _run: None) -> ReconcileRun:
        """Go through what is left of the run, and return the run as it ended.

        Raises:
            GatewayUnavailable: No definite answer; the run goes on from there later.
            RunLost: Another process works on it now.

        """
        while True:
            with self._desk.reading() as session:
                run = session.get_one(ReconcileRun, self._run_id)
                session.expunge(run)
            tell(run)
            if run.finished_at is not None:
                return run
            if run.step in self._others:
                self._others[run.step](run)
            else:
                self._list(run, Thing(run.step))

    def _list(self, run: ReconcileRun, thing: Thing) -> None:
        """Compare one page of a list."""
        since = None if thing in _ALWAYS_WHOLE else run.since
        page = self._gateway.listing.page(thing, since=since, until=run.until, after=run.after)
        left = page.listed[-1].created_at if page.listed else None
        window = Window(left if page.next_after else since, run.reached or run.until)
        found = at_page(self._desk, self._gateway, self._settings, thing, page, window, run.after)
        with self._noting(walked=len(page.listed), found=found) as (session, repairable):
            if thing is Thing.MOVEMENT:
                balancing.add_up(session, page.listed, self._settings)
            if page.next_after is None:
                _mark(session, run, thing)
                self._next(session, run)
            else:
                self._go_on(session, after=page.next_after, reached=left)
        self._repair(run, repairable)

    def _look_at_unended(self, run: ReconcileRun) -> None:
        """Ask by id about what has not ended in our books, however old it is."""
        with self._desk.reading() as session:
            unended = list(_unended(session))
        for thing, ids in unended:
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                found = at_objects(self._desk, self._gateway, self._settings, thing, some)
                self._keep(run, found, walked=len(some))
        self._end_step(run)

    def _look_for_receipts(self, run: ReconcileRun) -> None:
        with self._desk.reading() as session:
            found = balancing.without_receipt(session)
        self._keep(run, found)
        self._end_step(run)

    def _look_at_days(self, run: ReconcileRun) -> None:
        """Look for entries of ours behind which there is nothing, where a day's sums differ."""
        with self._desk.reading() as session:
            days = balancing.odd_days(session, run, self._settings)
        for day in days:
            if run.after is not None and day.isoformat() <= run.after:
                continue
            found = list(balancing.entries_of(self._desk, self._gateway, self._settings, day))
            self._keep(run, found)
            with self._noting() as (session, _):
                self._go_on(session, after=day.isoformat(), reached=None)
        self._end_step(run)

    def _look_again(self, run: ReconcileRun) -> None:
        """Look once more at every difference that stands, also at those of earlier runs."""
        after = int(run.after or 0)
        with self._desk.reading() as session:
            rows = session.scalars(
                sa.select(Difference)
                .where(Difference.state.in_(STANDING), Difference.id > after)
                .where(Difference.kind != Kind.CLEARING)
                .order_by(Difference.id)
                .limit(_AT_ONCE)
            ).all()
            standing = [(row.id, recording.as_found(row)) for row in rows]
        for row_id, found in standing:
            self._look_again_at(run, found)
            with self._noting() as (session, _):
                self._go_on(session, after=str(row_id), reached=None)
        if len(standing) < _AT_ONCE:
            self._end_step(run)

    def _look_again_at(self, run: ReconcileRun, found: Found) -> None:
        thing = thing_of(found.kind, found.object_id)
        if thing is None:
            with self._desk.reading() as session:
                now = [found] if balancing.still_stands(session, found) else []
        else:
            ids = [found.object_id]
            now = at_objects(self._desk, self._gateway, self._settings, thing, ids)
        if found.key in {one.key for one in now}:
            self._keep(run, [one for one in now if one.key == found.key], again=True)
            return
        with self._noting() as (session, _):
            recording.close(session, found, DifferenceState.GONE, by=run.actor)

    def _look_at_clearing(self, run: ReconcileRun) -> None:
        """Make the last statement: what the service holds for us is what the account says."""
        found = balancing.clearing(self._desk, self._gateway, self._settings, until=run.until)
        with self._noting(found=found) as (session, _):
            differing = {one.object_id for one in found}
            rows = session.scalars(
                sa.select(Difference).where(
                    Difference.kind == Kind.CLEARING, Difference.state.in_(STANDING)
                )
            )
            for row in rows.all():
                if row.object_id not in differing:
                    gone = recording.as_found(row)
                    recording.close(session, gone, DifferenceState.GONE, by=run.actor)
            _finish(session, run)

    def _keep(
        self, run: ReconcileRun, found: list[Found], *, walked: int = 0, again: bool = False
    ) -> None:
        with self._noting(walked=walked, found=found, again=again) as (_, repairable):
            pass
        self._repair(run, repairable)

    def _repair(self, run: ReconcileRun, repairable: list[Found]) -> None:
        if not run.repairs:
            return
        for one in repairable:
            if repair(self._desk, self._gateway, self._settings, one, by=run.actor):
                with self._noting() as (session, _):
                    self._count(session, repaired=1)

    @contextmanager
    def _noting(
        self, *, walked: int = 0, found: list[Found] | None = None, again: bool = False
    ) -> Iterator[tuple[Session, list[Found]]]:
        """Open a transaction of this run, with the differences that it keeps."""
        with self._desk.noting() as session:
            # This comes first: if the run was taken over, nothing is written.
            self._count(session, walked=walked, found=0 if again else len(found or []))
            yield session, recording.keep(session, found) if found else []

    def _count(
        self, session: Session, *, walked: int = 0, found: int = 0, repaired: int = 0
    ) -> None:
        held = session.execute(
            sa.update(ReconcileRun)
            .where(ReconcileRun.id == self._run_id, ReconcileRun.owner == self._owner)
            .where(ReconcileRun.standing.is_(True))
            .values(
                pulse_at=clock.now(),
                walked=ReconcileRun.walked + walked,
                found=ReconcileRun.found + found,
                repaired=ReconcileRun.repaired + repaired,
            )
            .returning(ReconcileRun.id)
            .execution_options(synchronize_session=False)
        ).first()
        if held is None:
            raise RunLost(self._run_id)

    def _end_step(self, run: ReconcileRun) -> None:
        with self._noting() as (session, _):
            self._next(session, run)

    def _next(self, session: Session, run: ReconcileRun) -> None:
        done = STEPS.index(run.step) + 1
        _set(session, run.id, step=STEPS[done], steps_done=done, after=None, reached=None)

    def _go_on(self, session: Session, *, after: str, reached: datetime | None) -> None:
        _set(session, self._run_id, after=after, reached=reached)


def _set(session: Session, run_id: int, **values: object) -> None:
    session.execute(
        sa.update(ReconcileRun)
        .where(ReconcileRun.id == run_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def _mark(session: Session, run: ReconcileRun, thing: Thing) -> None:
    """Remember that the list was walked to its end, unless the walk left a gap behind the mark."""
    mark = session.get(ReconcileMark, thing)
    if run.since is not None and (mark is None or run.since > mark.walked_until):
        return
    until = run.until or run.started_at
    if mark is None:
        session.add(ReconcileMark(step=thing, walked_until=until))
    else:
        mark.walked_until = max(mark.walked_until, until)


def _unended(session: Session) -> Iterator[tuple[Thing, list[str]]]:
    """Yield the ids of what is still under way by our books."""
    refunds = sa.select(Refund.remote_id).where(Refund.status == RefundStatus.PENDING)
    disputes = sa.select(DisputeRecord.remote_id).where(
        DisputeRecord.status.in_([DisputeState.OPEN, DisputeState.UNKNOWN])
    )
    payouts = sa.select(Payout.remote_id).where(Payout.status.in_(["pending", "in_transit"]))
    for thing, ids in (
        (Thing.REFUND, refunds),
        (Thing.DISPUTE, disputes),
        (Thing.PAYOUT, payouts),
    ):
        yield thing, [one for one in session.scalars(ids) if one and not one.startswith("seed_")]


def _finish(session: Session, run: ReconcileRun) -> None:
    left = session.scalar(
        sa.select(sa.func.count()).select_from(Difference).where(Difference.state.in_(STANDING))
    )
    _set(
        session,
        run.id,
        standing=None,
        owner=None,
        finished_at=clock.now(),
        left=left,
        steps_done=len(STEPS),
    )
