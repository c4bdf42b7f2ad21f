"""Write down who did what, in the transaction in which it was done."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.models import AuditRecord


def record(
    session: Session, *, actor: str, action: str, subject: str, detail: dict[str, Any] | None = None
) -> None:
    """Add one act to the audit trail.

    *actor* is ``staff:3``, ``donor:12``, ``stripe`` or ``system``; *subject* is what it was done
    to, for example ``job:7``; *detail* holds what a reader will want to know, as JSON.
    """
    session.execute(
        sa.insert(AuditRecord).values(
            at=clock.now(), actor=actor, action=action, subject=subject, detail=detail or {}
        )
    )
