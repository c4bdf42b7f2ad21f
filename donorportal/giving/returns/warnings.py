"""Early warnings of fraud: small gifts go back at once, a person decides about larger ones."""

from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving.events import note
from donorportal.giving.models import Gift
from donorportal.giving.returns import tasks
from donorportal.giving.returns.models import FraudWarningRecord
from donorportal.jobs.queueing import enqueue
from donorportal.money import currency
from donorportal.payments.returns import FraudWarning

ANSWER_TASK = "returns.answer_warning"


def warn(
    session: Session, gift: Gift, warning: FraudWarning, *, cause: str, settings: Settings
) -> None:
    """Keep a warning about a received gift, once, and see to it that it is answered."""
    known = sa.select(FraudWarningRecord.id).where(
        FraudWarningRecord.remote_id == warning.remote_id
    )
    if session.scalar(known) is not None:
        return
    most = settings.refund_warned_gifts_up_to * currency(gift.currency).unit
    is_small = warning.actionable and gift.amount_minor <= most
    row = FraudWarningRecord(
        gift_id=gift.id,
        remote_id=warning.remote_id,
        kind=warning.kind[:60],
        warned_at=warning.warned_at,
        refund_key=uuid4() if is_small else None,
    )
    session.add(row)
    session.flush()  # The job names the row.
    note(session, Gift, gift.id, gift.status, cause=cause, warning=warning.kind)
    if is_small:
        enqueue(session, ANSWER_TASK, key=f"fraud-warning:{row.id}", warning=row.id)
    elif warning.actionable:
        text = f"The card's network warns of fraud ({warning.kind}). A refund now avoids a dispute."
        tasks.open_task(session, gift, key=f"fraud-warning:{warning.remote_id}", text=text)
