"""Monthly gifts as those who may change them see them."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.models import (
    Designation,
    Gift,
    GiftStatus,
    RecurringGift,
    RecurringStatus,
)
from donorportal.giving.partner.models import Action
from donorportal.money import Money

_NEVER_BEGAN = (RecurringStatus.STARTED, RecurringStatus.ABANDONED)
_CHANGEABLE = (RecurringStatus.ACTIVE, RecurringStatus.PAST_DUE, RecurringStatus.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeable:
    """A monthly gift that has begun.

    Attributes:
        reference: Our public id of it.
        remote_id: The subscription at the payment service.
        amount: What is charged each month, *fee_cover* included.
        next_on: The next charge, as the payment service says; None when there is none.
        resumes_at: When its pause ends by itself.
        ended_on: The day it ended; None while it goes on.
        may_be_once: It began so recently that it may still be made a single gift.

    """

    row_id: int
    donor_id: int
    reference: UUID
    remote_id: str
    customer_id: str
    email: str
    name: str
    amount: Money
    fee_cover: Money
    status: RecurringStatus
    next_on: date | None
    resumes_at: datetime | None
    ended_on: date | None
    designation_code: str
    designation_name: str
    card_last4: str | None
    may_be_once: bool

    @property
    def has_ended(self) -> bool:
        """Whether nothing about it can be changed any more."""
        return self.status not in {*_CHANGEABLE, RecurringStatus.UNKNOWN}

    @property
    def actions(self) -> tuple[Action, ...]:
        """Return what can be asked of it now, in the order in which it is offered."""
        if self.has_ended:
            return ()
        if self.status == RecurringStatus.UNKNOWN:
            return (Action.END,)
        offered = [Action.AMOUNT, Action.DESIGNATION]
        if self.status == RecurringStatus.ACTIVE:
            offered += [Action.DAY]
        offered += [Action.CARD]
        if self.status == RecurringStatus.ACTIVE:
            offered += [Action.SKIP]
        if self.status == RecurringStatus.PAUSED:
            offered += [Action.RESUME]
        offered += [Action.PAUSE, Action.END]
        return (*offered, Action.ONCE) if self.may_be_once else tuple(offered)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargedGift:
    """One gift that came of a monthly gift."""

    row_id: int
    given_on: date
    amount: Money
    refunded: Money

    @property
    def left(self) -> Money:
        """Return what has not gone back."""
        return self.amount - self.refunded


def find(
    session: Session, row_id: int, settings: Settings, *, donor_id: int | None = None
) -> Changeable | None:
    """Return one monthly gift that has begun, of this donor's if one is named."""
    found = _read(session, settings, RecurringGift.id == row_id, *_of(donor_id))
    return found[0] if found else None


def standing_of(session: Session, donor_id: int, settings: Settings) -> list[Changeable]:
    """Return the donor's monthly gifts that go on, the newest first."""
    return [gift for gift in _all_of(session, donor_id, settings) if not gift.has_ended]


def ended_of(session: Session, donor_id: int, settings: Settings) -> list[Changeable]:
    """Return the donor's monthly gifts that have ended, the last one first."""
    return [gift for gift in _all_of(session, donor_id, settings) if gift.has_ended]


def charged_by(session: Session, row_id: int) -> list[ChargedGift]:
    """Return the gifts that came of a monthly gift, the first one first."""
    rows = session.execute(
        sa.select(Gift.id, Gift.given_on, Gift.amount_minor, Gift.refunded_minor, Gift.currency)
        .where(Gift.recurring_gift_id == row_id, Gift.status == GiftStatus.RECEIVED)
        .order_by(Gift.received_at, Gift.id)
    )
    return [
        ChargedGift(
            row_id=gift_id,
            given_on=given_on,
            amount=Money(minor, currency),
            refunded=Money(refunded, currency),
        )
        for gift_id, given_on, minor, refunded, currency in rows
        if given_on is not None
    ]


def _all_of(session: Session, donor_id: int, settings: Settings) -> list[Changeable]:
    return _read(session, settings, *_of(donor_id))


def _of(donor_id: int | None) -> list[sa.ColumnElement[bool]]:
    return [] if donor_id is None else [RecurringGift.donor_id == donor_id]


def _read(session: Session, settings: Settings, *which: sa.ColumnElement[bool]) -> list[Changeable]:
    rows = session.execute(
        sa.select(RecurringGift, Designation.name)
        .join(Designation, Designation.code == RecurringGift.designation_code)
        .where(
            RecurringGift.donor_id.is_not(None),
            RecurringGift.remote_id.is_not(None),
            RecurringGift.status.not_in(_NEVER_BEGAN),
            *which,
        )
        .order_by(RecurringGift.ended_at.desc(), RecurringGift.id.desc())
    )
    return [_changeable(row, name, settings) for row, name in rows]


def _changeable(row: Any, designation_name: str, settings: Settings) -> Changeable:
    zone = settings.organisation.time_zone
    grace = timedelta(days=settings.monthly_mistake_days)
    is_young = row.started_at is not None and clock.now() - row.started_at < grace
    return Changeable(
        row_id=row.id,
        donor_id=row.donor_id,
        reference=row.public_id,
        remote_id=row.remote_id,
        customer_id=row.customer_remote_id or "",
        email=row.email,
        name=row.name,
        amount=row.amount,
        fee_cover=Money(row.fee_cover_minor, row.currency),
        status=RecurringStatus(row.status),
        next_on=row.next_on,
        resumes_at=row.resumes_at,
        ended_on=clock.local_date(row.ended_at, zone) if row.ended_at else None,
        designation_code=row.designation_code,
        designation_name=designation_name,
        card_last4=row.card_last4,
        may_be_once=is_young and row.status in _CHANGEABLE,
    )
