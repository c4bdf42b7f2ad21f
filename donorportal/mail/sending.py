"""Send one message of the outbox and record how it went."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.mail.models import OutboxMessage, OutboxState
from donorportal.mail.render import render
from donorportal.mail.suppression import RECEIPTS, is_suppressed
from donorportal.mail.transport import MailDeferred, MailRefused, Outgoing, Transport

log = structlog.get_logger()


class Run(Protocol):
    """What a sender needs of the job that runs it: `donorportal.jobs.running.Run` has it."""

    def reading(self) -> AbstractContextManager[Session]:
        """Open a short session that can only read."""

    def noting(self) -> AbstractContextManager[Session]:
        """Open a transaction that leaves the job unfinished."""

    def finishing(self) -> AbstractContextManager[Session]:
        """Open the transaction that ends the job."""


def send_message(
    run: Run,
    settings: Settings,
    transport: Transport,
    *,
    message: int,
    secrets: Mapping[str, Any] | None = None,
) -> None:
    """Send the outbox message with this id, unless it was sent or must not be.

    No transaction is open while the relay is asked. Should this process die between the relay's
    yes and our record of it, the message is sent again with the same Message-ID: one worker that
    dies can cause one second copy, and none is ever lost.

    *secrets* are words for the template that are not kept in the database.

    Raises:
        MailDeferred: The relay wants it later, or cannot be reached; the row notes the attempt.

    """
    with run.reading() as session:
        row = session.get(OutboxMessage, message)
        if row is None or row.state != OutboxState.QUEUED:
            return
        suppressed = is_suppressed(session, settings, address=row.address, stream=RECEIPTS)
    if suppressed:
        _finish(run, message, OutboxState.SUPPRESSED, "We must not write to this address.")
        return
    outgoing = Outgoing(
        sender=settings.mail_from,
        recipient=row.address,
        message_id=row.message_id,
        words=render(settings, row.kind, {**row.context, **(secrets or {})}),
    )
    try:
        reply = transport.send(outgoing)
    except MailRefused as refusal:
        log.warning("mail refused", message=message, kind=row.kind, code=refusal.code)
        _finish(run, message, OutboxState.FAILED, str(refusal))
    except MailDeferred as deferral:
        with run.noting() as session:
            _record(session, message, reply=str(deferral))
        raise
    else:
        _finish(run, message, OutboxState.SENT, reply)


def _finish(run: Run, message: int, state: OutboxState, reply: str) -> None:
    sent_at = clock.now() if state == OutboxState.SENT else None
    with run.finishing() as session:
        _record(session, message, state=state, reply=reply, sent_at=sent_at)


def _record(session: Session, message: int, **values: object) -> None:
    session.execute(
        sa.update(OutboxMessage)
        .where(OutboxMessage.id == message)
        .values(attempts=OutboxMessage.attempts + 1, **values)
    )
