"""Taking events in: stored with their job in one transaction, before anything else happens."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import upsert
from donorportal.jobs.queueing import enqueue
from donorportal.payments.gateway import ReceivedEvent
from donorportal.webhooks.models import InboundEvent


def take_in(session: Session, event: ReceivedEvent) -> bool:
    """Store an event and queue its processing; False if it was stored before."""
    row_id = session.execute(
        upsert(session, InboundEvent)
        .values(
            event_id=event.event_id,
            type=event.type,
            object_id=event.object_id,
            api_version=event.api_version,
            livemode=event.livemode,
            account=event.account,
            payload=event.payload,
            received_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["event_id"])
        .returning(InboundEvent.id)
    ).scalar()
    if row_id is None:
        return False
    return enqueue(session, "webhooks.process", key=f"event:{row_id}", event=row_id)


def process_again(session: Session, row_id: int) -> bool:
    """Queue an event once more, for staff; False if there is no such event."""
    known = session.scalar(sa.select(InboundEvent.id).where(InboundEvent.id == row_id))
    if known is None:
        return False
    stamp = clock.now().strftime("%Y%m%dT%H%M%S")
    return enqueue(session, "webhooks.process", key=f"event:{row_id}:{stamp}", event=row_id)
