"""A donor changes or stops a monthly gift.

The payment service is asked first, with no transaction open; then what it says is settled like any
other news, and the same transaction writes down who asked. What was asked for is never taken for
what happened.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.models import AuditRecord
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.giving.models import Designation, RecurringGift, RecurringStatus
from donorportal.giving.settlement import settle
from donorportal.money import Money
from donorportal.payments.gateway import Gateway, GatewayRejected, Observation

_CAUSE = "donor"
_NEVER_BEGAN = (RecurringStatus.STARTED, RecurringStatus.ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeable:
    """A monthly gift that has begun, in the hands of its donor.

    Attributes:
        reference: Our public id of it, from which idempotency keys derive.
        remote_id: The subscription at the payment service.
        amount: What is charged each month, *fee_cover* included.
        next_on: The next charge, as the payment service says; None when there is none.
        ended_on: The day it ended; None while it goes on.

    """

    row_id: int
    reference: UUID
    remote_id: str
    amount: Money
    fee_cover: Money
    status: RecurringStatus
    next_on: date | None
    ended_on: date | None
    designation_name: str
    card_last4: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing about it can be changed any more."""
        return self.status is RecurringStatus.ENDED


def find(session: Session, donor_id: int, row_id: int, settings: Settings) -> Changeable | None:
    """Return one monthly gift if it is this donor's and has begun."""
    found = _read(session, donor_id, settings, RecurringGift.id == row_id)
    return found[0] if found else None


def ended_of(session: Session, donor_id: int, settings: Settings) -> list[Changeable]:
    """Return the donor's monthly gifts that have ended, the last one first."""
    return _read(session, donor_id, settings, RecurringGift.status == RecurringStatus.ENDED)


def ask_for_amount(
    gateway: Gateway, gift: Changeable, amount: Money, *, form_key: UUID
) -> Observation:
    """Ask for another amount from the next charge on, and return what is true afterwards.

    Raises:
        GatewayUnavailable: No definite answer.
        GatewayRejected: It was refused.

    """
    key = f"recurring-gift:{gift.reference}:amount:{form_key}:{amount.minor}"
    gateway.change_amount(gift.remote_id, amount, key=key)
    return _observed(gateway, gift)


def ask_for_end(gateway: Gateway, gift: Changeable) -> Observation:
    """Ask that nothing more is charged, and return what is true afterwards.

    Raises:
        GatewayUnavailable: No definite answer.
        GatewayRejected: The payment service does not know this monthly gift.

    """
    gateway.end_subscription(gift.remote_id)
    return _observed(gateway, gift)


def settle_amount(
    session: Session,
    gift: Changeable,
    amount: Money,
    seen: Observation,
    *,
    form_key: UUID,
    actor: str,
    settings: Settings,
) -> bool:
    """Book what was seen after asking for *amount*; True if that is the amount now."""
    settle(session, seen, cause=_CAUSE, settings=settings)
    row = session.get_one(RecurringGift, gift.row_id)
    if row.amount != amount:
        return False
    detail = {"form": str(form_key), "minor": amount.minor, "currency": amount.currency}
    _record_once(session, gift, "change amount", detail, actor)
    return True


def settle_end(
    session: Session, gift: Changeable, seen: Observation, *, actor: str, settings: Settings
) -> None:
    """Book what was seen after asking for the end.

    Raises:
        GatewayRejected: It goes on nevertheless.

    """
    settle(session, seen, cause=_CAUSE, settings=settings)
    row = session.get_one(RecurringGift, gift.row_id)
    if row.status != RecurringStatus.ENDED:
        raise GatewayRejected(f"{gift.remote_id} was to end and is {row.remote_status}")
    _record_once(session, gift, "stop", {}, actor)


def _read(
    session: Session, donor_id: int, settings: Settings, which: sa.ColumnElement[bool]
) -> list[Changeable]:
    rows = session.execute(
        sa.select(RecurringGift, Designation.name)
        .join(Designation, Designation.code == RecurringGift.designation_code)
        .where(
            RecurringGift.donor_id == donor_id,
            RecurringGift.remote_id.is_not(None),
            RecurringGift.status.not_in(_NEVER_BEGAN),
            which,
        )
        .order_by(RecurringGift.ended_at.desc(), RecurringGift.id.desc())
    )
    zone = settings.organisation.time_zone
    return [
        Changeable(
            row_id=row.id,
            reference=row.public_id,
            remote_id=row.remote_id or "",
            amount=row.amount,
            fee_cover=Money(row.fee_cover_minor, row.currency),
            status=RecurringStatus(row.status),
            next_on=row.next_on,
            ended_on=clock.local_date(row.ended_at, zone) if row.ended_at else None,
            designation_name=designation_name,
            card_last4=row.card_last4,
        )
        for row, designation_name in rows
    ]


def _observed(gateway: Gateway, gift: Changeable) -> Observation:
    seen = gateway.observe(gift.remote_id)
    if seen is None:
        raise GatewayRejected(f"the payment service does not know {gift.remote_id}")
    return seen


def _record_once(
    session: Session, gift: Changeable, action: str, detail: dict[str, object], actor: str
) -> None:
    """Write down who asked; the same form sent twice is one act.

    Settling has locked the monthly gift, so that nobody else writes the same in between.
    """
    subject = f"recurring-gift:{gift.row_id}"
    earlier = session.scalars(
        sa.select(AuditRecord.detail).where(
            AuditRecord.subject == subject, AuditRecord.action == action
        )
    )
    if detail not in earlier.all():
        record(session, actor=actor, action=action, subject=subject, detail=detail)
