"""How the failed charges of one donor stand, read for the donor's own eyes."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.models import RecurringGift
from donorportal.giving.recovery.models import ChargeState, ChargeTry, FailedCharge, TryOutcome
from donorportal.giving.recovery.reasons import Reason, is_tried_again, reason_of
from donorportal.money import Money


@dataclass(frozen=True, slots=True)
class Standing:
    """The last failed charge of one monthly gift.

    Attributes:
        next_try_at: When the same card is asked again; None if it is not, or not known.
        pay_url: Stripe's page on which the donor can confirm and pay.
        last_try: What came of the donor's own last try, if there was one.

    """

    recurring_gift_id: int
    charge_id: int
    amount: Money
    state: ChargeState
    failed_at: datetime
    reason: Reason
    next_try_at: datetime | None
    is_tried_again: bool
    pay_url: str | None
    card_last4: str | None
    last_try: TryOutcome | None


def of_gift(session: Session, donor_id: int, recurring_gift_id: int) -> Standing | None:
    """Return how the last failed charge of this donor's monthly gift stands."""
    found = _read(session, donor_id, RecurringGift.id == recurring_gift_id)
    return found[0] if found else None


def is_own(session: Session, donor_id: int, recurring_gift_id: int) -> bool:
    """Say whether this monthly gift is the donor's."""
    own = sa.exists().where(
        RecurringGift.id == recurring_gift_id, RecurringGift.donor_id == donor_id
    )
    return bool(session.scalar(sa.select(own)))


def open_of(session: Session, donor_id: int) -> list[Standing]:
    """Return the donor's charges that are not paid and still asked for, the newest first."""
    return _read(session, donor_id, FailedCharge.state == ChargeState.OPEN)


def _read(session: Session, donor_id: int, which: sa.ColumnElement[bool]) -> list[Standing]:
    last_try = (
        sa.select(ChargeTry.outcome)
        .where(ChargeTry.failed_charge_id == FailedCharge.id, ChargeTry.outcome.is_not(None))
        .order_by(ChargeTry.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = session.execute(
        sa.select(FailedCharge, RecurringGift.card_last4, last_try)
        .join(RecurringGift, RecurringGift.id == FailedCharge.recurring_gift_id)
        .where(RecurringGift.donor_id == donor_id, which)
        .order_by(FailedCharge.id.desc())
    )
    return [_standing(charge, last4, outcome) for charge, last4, outcome in rows]


def _standing(charge: FailedCharge, last4: str | None, outcome: str | None) -> Standing:
    tried_again = charge.is_retried and is_tried_again(charge.reason)
    return Standing(
        recurring_gift_id=charge.recurring_gift_id,
        charge_id=charge.id,
        amount=charge.amount,
        state=ChargeState(charge.state),
        failed_at=charge.failed_at,
        reason=reason_of(charge.reason),
        next_try_at=charge.next_try_at if tried_again else None,
        is_tried_again=tried_again,
        pay_url=charge.pay_url,
        card_last4=last4,
        last_try=TryOutcome(outcome) if outcome else None,
    )
