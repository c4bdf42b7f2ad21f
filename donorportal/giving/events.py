"""The history of a gift: what happened, when, and why."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.giving.models import (
    Asked,
    Gift,
    GiftEvent,
    GiftStatus,
    RecurringGift,
    RecurringGiftEvent,
)
from donorportal.payments.gateway import Checkout, CheckoutState


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


def abandon_closed(
    session: Session, asked: Gift | RecurringGift, page: Checkout | None, *, cause: str
) -> None:
    """End an attempt whose page closed before anybody paid; a replaced page ends nothing."""
    closed = page is not None and page.state is CheckoutState.EXPIRED
    current = page is not None and page.remote_id == asked.checkout_remote_id
    if closed and current and asked.status == GiftStatus.STARTED:
        asked.status = GiftStatus.ABANDONED
        note(session, type(asked), asked.id, GiftStatus.ABANDONED, cause=cause)
