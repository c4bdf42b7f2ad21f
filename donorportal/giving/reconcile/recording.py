"""Keeping differences: each once, whoever finds it how often."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.reconcile.comparing import Found
from donorportal.giving.reconcile.kinds import ABOUT, Kind, Repair
from donorportal.giving.reconcile.models import STANDING, Difference, DifferenceState


def keep(session: Session, found: Sequence[Found]) -> list[Found]:
    """Keep what was found, and return those that can be repaired by rule and were not tried yet.

    What a person has explained stays explained for as long as both sides say the same.
    """
    known = _known(session, found)
    repairable = []
    for one in {one.key: one for one in found}.values():
        row = known.get(one.key)
        if row is None:
            row = _new(one)
            session.add(row)
        elif row.state == DifferenceState.EXPLAINED and _says_the_same(row, one):
            continue
        elif row.state not in STANDING:
            _reopen(row, one)
        elif not _says_the_same(row, one):
            row.expected, row.found, row.gift_id = one.expected, one.found, one.gift_id
            row.state = _first_state(one.kind)
        if row.state == DifferenceState.OPEN:
            repairable.append(one)
    return repairable


def close(
    session: Session, found: Found, state: DifferenceState, *, by: str, note: str | None = None
) -> None:
    """Say what became of a difference."""
    closed = state not in STANDING
    session.execute(
        sa.update(Difference)
        .where(Difference.kind == found.kind, Difference.object_id == found.object_id)
        .where(Difference.state.in_(STANDING))
        .values(
            state=state,
            note=note and note[:500],
            closed_at=clock.now() if closed else None,
            closed_by=by if closed else None,
        )
        .execution_options(synchronize_session=False)
    )


def as_found(row: Difference) -> Found:
    """Return a stored difference as it was found."""
    return Found(Kind(row.kind), row.object_id, row.expected, row.found, row.gift_id)


def _known(session: Session, found: Sequence[Found]) -> dict[tuple[str, str], Difference]:
    ids = {one.object_id for one in found}
    rows = session.scalars(sa.select(Difference).where(Difference.object_id.in_(ids)))
    return {(row.kind, row.object_id): row for row in rows} if ids else {}


def _new(found: Found) -> Difference:
    return Difference(
        kind=found.kind,
        object_id=found.object_id,
        gift_id=found.gift_id,
        expected=found.expected,
        found=found.found,
        state=_first_state(found.kind),
        found_at=clock.now(),
    )


def _reopen(row: Difference, found: Found) -> None:
    row.expected, row.found, row.gift_id = found.expected, found.found, found.gift_id
    row.state, row.note = _first_state(found.kind), None
    row.found_at, row.closed_at, row.closed_by = clock.now(), None, None


def _first_state(kind: Kind) -> DifferenceState:
    by_rule = ABOUT[kind].repair is not Repair.PERSON
    return DifferenceState.OPEN if by_rule else DifferenceState.PERSON


def _says_the_same(row: Difference, found: Found) -> bool:
    return (row.expected, row.found) == (found.expected, found.found)
