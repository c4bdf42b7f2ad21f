"""Work that failed, run again by a person, who is written down."""

from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.jobs import queueing
from donorportal.staff import listing


def run_job_again(session: Session, job_id: int, *, actor: str) -> bool:
    """Give a dead job new attempts; False if it is not dead (any more)."""
    if not queueing.run_again(session, job_id):
        return False
    record(session, actor=actor, action="run again", subject=f"job:{job_id}")
    return True


def process_event_again(session: Session, event_id: int, *, actor: str) -> bool:
    """Queue an event of the inbox once more; False if there is no such event.

    Processing asks Stripe how things stand now, so doing it twice changes nothing twice. The key
    makes a double click one job.
    """
    if listing.event(session, event_id) is None:
        return False
    key = f"event:{event_id}:{clock.now():%Y%m%dT%H%M%S}"
    if queueing.enqueue(session, "webhooks.process", key=key, event=event_id):
        record(session, actor=actor, action="process again", subject=f"event:{event_id}")
    return True
