"""One letter to one person: its message and the job that sends it, in one transaction."""

from typing import Any

from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.jobs.models import Queue
from donorportal.jobs.queueing import enqueue
from donorportal.mail import outbox

SEND_TASK = "mail.send"
_ATTEMPTS = 32  # With the longest pause of an hour, over a day.


def write(
    session: Session,
    settings: Settings,
    kind: str,
    *,
    address: str,
    key: str,
    context: dict[str, Any],
    task: str = SEND_TASK,
    attempts: int = _ATTEMPTS,
    **args: Any,
) -> bool:
    """Put one letter into the caller's transaction; False if *key* was written before.

    *kind* is the template's folder and *context* is JSON for it. Another *task* than the usual
    one, with row ids as its *args*, adds what must not be kept in the outbox when it sends.
    """
    message = outbox.queue(
        session, kind, address=address, key=key, context=context, domain=settings.mail_domain
    )
    if message is None:
        return False
    enqueue(
        session,
        task,
        key=f"mail:{key}",
        queue=Queue.MAIL,
        max_attempts=attempts,
        message=message,
        **args,
    )
    return True
