"""Storing what was asked for, before the payment service hears of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.models import OVER, Designation, RecurringGift
from donorportal.giving.partner.models import Action, ChangeState, RecurringChange
from donorportal.giving.partner.wishes import Wish

OVERTAKEN = "something else was asked for before it could be done"
_FINAL = (Action.END, Action.ONCE)


class AlreadyEnded(Exception):  # noqa: N818 - named for what happened, like every refusal here
    """Nothing about it can be changed any more."""


class AnotherUnderWay(Exception):  # noqa: N818 - the same
    """An earlier change of this monthly gift is not finished yet.

    Attributes:
        key: The earlier change.

    """

    def __init__(self, key: UUID) -> None:
        super().__init__(str(key))
        self.key = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that is stored."""

    row_id: int
    key: UUID
    gift_id: int
    remote_id: str
    wish: Wish
    before: dict[str, Any]
    actor: str
    state: ChangeState
    attempt: int
    asked_at: datetime
    outcome: dict[str, Any]

    @property
    def remote_key(self) -> str:
        """Return the key under which the payment service does it once."""
        return f"change:{self.key}:{self.attempt}"

    @property
    def by_staff(self) -> bool:
        """Whether somebody asked on the donor's behalf."""
        return self.actor.startswith("staff:")


def ask(session: Session, gift_id: int, wish: Wish, *, key: UUID, actor: str) -> Change:
    """Store a wish; the same *key* again returns what was stored before. The caller commits.

    The gift stays locked until then: two wishes never reach the payment service at once. Ending
    it overtakes whatever else is under way.

    Raises:
        AlreadyEnded: It ended before.
        AnotherUnderWay: An earlier wish is not finished.

    """
    gift = session.get_one(RecurringGift, gift_id, with_for_update=True, populate_existing=True)
    known = session.scalar(sa.select(RecurringChange).where(RecurringChange.key == key))
    if known is not None:
        if known.recurring_gift_id != gift_id:
            raise AnotherUnderWay(key)
        return _change(known, gift)
    if gift.status in OVER:
        raise AlreadyEnded
    if wish.action != Action.CARD:
        _make_way(session, gift_id, wish.action)
    row = RecurringChange(
        key=key,
        recurring_gift_id=gift_id,
        action=wish.action,
        wanted=wish.to_json(),
        before=_as_it_is(session, gift),
        actor=actor,
        state=ChangeState.ASKED,
        attempt=1,
        asked_at=clock.now(),
        outcome={},
    )
    session.add(row)
    session.flush()  # Its id is needed.
    return _change(row, gift)


def find(session: Session, key: UUID, gift_id: int) -> Change | None:
    """Return the change of this monthly gift that was asked for under *key*."""
    found = session.scalar(
        sa.select(RecurringChange.id).where(
            RecurringChange.key == key, RecurringChange.recurring_gift_id == gift_id
        )
    )
    return None if found is None else load(session, found)


def load(session: Session, row_id: int) -> Change:
    """Return one change as it stands."""
    row = session.get_one(RecurringChange, row_id)
    return _change(row, session.get_one(RecurringGift, row.recurring_gift_id))


def latest(session: Session, gift_id: int) -> Change | None:
    """Return what was asked last of a monthly gift."""
    newest = (
        sa.select(RecurringChange.id)
        .where(RecurringChange.recurring_gift_id == gift_id)
        .order_by(RecurringChange.id.desc())
        .limit(1)
    )
    row_id = session.scalar(newest)
    return None if row_id is None else load(session, row_id)


def unfinished(session: Session, before: datetime, *, limit: int) -> list[int]:
    """Return the changes asked for earlier than *before* that are not finished, oldest first."""
    return list(
        session.scalars(
            sa.select(RecurringChange.id)
            .where(RecurringChange.state == ChangeState.ASKED, RecurringChange.asked_at < before)
            .order_by(RecurringChange.asked_at)
            .limit(limit)
        )
    )


def is_open(session: Session, change: Change) -> bool:
    """Say whether nobody has finished it; with its gift locked, that stays so."""
    row = session.get_one(RecurringChange, change.row_id, populate_existing=True)
    return row.state == ChangeState.ASKED


def close(session: Session, change: Change, state: ChangeState, outcome: dict[str, Any]) -> Change:
    """Mark a change that is open as finished."""
    row = session.get_one(RecurringChange, change.row_id)
    row.state, row.finished_at, row.outcome = state, clock.now(), outcome
    return load(session, change.row_id)


def use_another_key(session: Session, change: Change) -> None:
    """Let the next try be a new one for the payment service, which repeats its own errors."""
    session.execute(
        sa.update(RecurringChange)
        .where(RecurringChange.id == change.row_id, RecurringChange.attempt == change.attempt)
        .values(attempt=change.attempt + 1)
        .execution_options(synchronize_session=False)
    )


def _make_way(session: Session, gift_id: int, action: Action) -> None:
    earlier = session.scalar(
        sa.select(RecurringChange).where(
            RecurringChange.recurring_gift_id == gift_id,
            RecurringChange.state == ChangeState.ASKED,
            RecurringChange.action != Action.CARD,
        )
    )
    if earlier is None:
        return
    if action not in _FINAL or earlier.action in _FINAL:
        raise AnotherUnderWay(earlier.key)
    earlier.state, earlier.finished_at = ChangeState.REFUSED, clock.now()
    earlier.outcome = {"why": OVERTAKEN}
    session.flush()  # Only one change may be under way when the new one is inserted.


def _as_it_is(session: Session, gift: RecurringGift) -> dict[str, Any]:
    return {
        "minor": gift.amount_minor,
        "currency": gift.currency,
        "designation": session.get_one(Designation, gift.designation_code).name,
        "next_on": gift.next_on.isoformat() if gift.next_on else None,
        "last4": gift.card_last4,
    }


def _change(row: RecurringChange, gift: RecurringGift) -> Change:
    return Change(
        row_id=row.id,
        key=row.key,
        gift_id=gift.id,
        remote_id=gift.remote_id or "",
        wish=Wish.from_json(row.action, row.wanted),
        before=row.before,
        actor=row.actor,
        state=ChangeState(row.state),
        attempt=row.attempt,
        asked_at=row.asked_at,
        outcome=row.outcome,
    )
