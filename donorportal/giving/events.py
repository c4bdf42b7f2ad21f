"""The history of a gift: what happened, when, and why."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.models import Asked, Gift, GiftEvent, RecurringGiftEvent


def note(
    session: Session,
    of: type[Asked],
    row_id: int,
    status: str,
    *,
    cause: str,
    **detail: Any,
) -> None:
    """Append one event to the history of a gift or of a recurring gift."""
    if of is Gift:
        statement = sa.insert(GiftEvent).values(gift_id=row_id)
    else:
        statement = sa.insert(RecurringGiftEvent).values(recurring_gift_id=row_id)
    session.execute(statement.values(at=clock.now(), status=status, cause=cause, detail=detail))
