"""What must hold between monthly gifts, the changes that were asked for, and their history."""

import sqlalchemy as sa

from donorportal.giving.models import RecurringGift, RecurringGiftEvent, RecurringStatus
from donorportal.giving.partner.models import Action, ChangeState, RecurringChange

_SHOWN = 20


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each invariant that does not hold."""
    return [
        *_done_but_not_in_the_history(connection),
        *_ended_and_going_on(connection),
    ]


def _done_but_not_in_the_history(connection: sa.Connection) -> list[str]:
    """Each change that was done is exactly one line of what happened."""
    lines = (
        sa.select(sa.func.count())
        .where(
            RecurringGiftEvent.recurring_gift_id == RecurringChange.recurring_gift_id,
            RecurringGiftEvent.detail["change_id"].as_integer() == RecurringChange.id,
        )
        .correlate(RecurringChange)
        .scalar_subquery()
    )
    expected = sa.case((RecurringChange.state == ChangeState.DONE, 1), else_=0)
    rows = connection.execute(
        sa.select(RecurringChange.id, lines).where(lines != expected).limit(_SHOWN)
    )
    return [f"change {change} has {count} lines in the history" for change, count in rows]


def _ended_and_going_on(connection: sa.Connection) -> list[str]:
    """Find what somebody stopped and goes on nevertheless."""
    rows = connection.execute(
        sa.select(RecurringChange.id)
        .join(RecurringGift, RecurringGift.id == RecurringChange.recurring_gift_id)
        .where(
            RecurringChange.state == ChangeState.DONE,
            RecurringChange.action.in_([Action.END, Action.ONCE]),
            RecurringGift.status.not_in([RecurringStatus.ENDED, RecurringStatus.LAPSED]),
        )
        .limit(_SHOWN)
    )
    return [f"change {change} stopped a gift that goes on" for (change,) in rows]
