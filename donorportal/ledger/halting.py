"""Halting: while the books are known to be wrong, nothing more is written into them.

Whatever wants to post in the meantime fails and is tried again; it is not lost, because what is to
be booked is true at the payment service and in our rows.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import upsert
from donorportal.ledger.models import LedgerHalt

_KEPT_FINDINGS = 50


class PostingHalted(Exception):  # noqa: N818 - named for what happened
    """The books were found to be wrong; nothing is posted until somebody has looked."""


def halt(session: Session, findings: Sequence[str]) -> int | None:
    """Stop all posting and return the halt's id; None if posting is halted already."""
    halt_id: int | None = session.execute(
        upsert(session, LedgerHalt)
        .values(standing=True, findings=list(findings[:_KEPT_FINDINGS]), halted_at=clock.now())
        .on_conflict_do_nothing(index_elements=["standing"])
        .returning(LedgerHalt.id)
    ).scalar()
    return halt_id


def standing(session: Session) -> LedgerHalt | None:
    """Return the halt that is in force, or None."""
    return session.scalar(sa.select(LedgerHalt).where(LedgerHalt.standing.is_(True)))


def lift(session: Session, *, by: str) -> bool:
    """Let posting go on; False if it was not halted. The caller has made sure of the books."""
    lifted = session.execute(
        sa.update(LedgerHalt)
        .where(LedgerHalt.standing.is_(True))
        .values(standing=None, lifted_at=clock.now(), lifted_by=by)
        .returning(LedgerHalt.id)
        .execution_options(synchronize_session=False)
    ).first()
    return lifted is not None
