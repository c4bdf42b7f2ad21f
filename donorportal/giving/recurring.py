"""Monthly gifts: ours follow the subscription at the payment service."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.donors.addresses import parse_email
from donorportal.donors.matching import find_or_create
from donorportal.giving.events import abandon_closed, note
from donorportal.giving.models import RecurringGift, RecurringGiftEvent, RecurringStatus
from donorportal.giving.recovery import cards
from donorportal.payments.gateway import (
    Invoice,
    Observation,
    Payment,
    Subscription,
)

_STATES = {
    "active": RecurringStatus.ACTIVE,
    "trialing": RecurringStatus.ACTIVE,
    "past_due": RecurringStatus.PAST_DUE,
    "unpaid": RecurringStatus.PAST_DUE,
    "paused": RecurringStatus.PAUSED,
    "canceled": RecurringStatus.ENDED,
    "incomplete": RecurringStatus.STARTED,
    "incomplete_expired": RecurringStatus.ABANDONED,
}
_LIVE = (RecurringStatus.ACTIVE, RecurringStatus.PAST_DUE, RecurringStatus.PAUSED)


def converge(
    session: Session, seen: Observation, *, cause: str, settings: Settings
) -> RecurringGift | None:
    """Bring the monthly gift in line with *seen*; return it locked, or None if it is not ours."""
    giver = _lock(session, seen)
    if giver is None:
        return None
    if seen.subscription is None:
        abandon_closed(session, giver, seen.checkout, cause=cause)
    elif giver.status not in _LIVE or giver.remote_id == seen.subscription.remote_id:
        # Two pages of one form can both be paid; while the first subscription lives, the row is it.
        _follow(session, giver, seen.subscription, cause, settings)
    return giver


def status_of(remote_state: str, *, paused: bool, gave_up: bool) -> RecurringStatus:
    """Return what a subscription in this state makes of a monthly gift."""
    if gave_up:
        return RecurringStatus.LAPSED
    status = _STATES.get(remote_state, RecurringStatus.UNKNOWN)
    return RecurringStatus.PAUSED if status is RecurringStatus.ACTIVE and paused else status


def note_failed_charge(
    session: Session, giver: RecurringGift, invoice: Invoice, payment: Payment, *, cause: str
) -> None:
    """Keep the fact that a month's charge did not go through, once for each charge."""
    if payment.failure is None:
        return
    failed = {
        "invoice": invoice.remote_id,
        "charge": payment.charge_id,
        "failure": payment.failure,
    }
    noted = sa.select(RecurringGiftEvent.detail).where(
        RecurringGiftEvent.recurring_gift_id == giver.id
    )
    if failed not in session.scalars(noted).all():
        note(session, RecurringGift, giver.id, giver.status, cause=cause, **failed)


def note_left_out(
    session: Session, giver: RecurringGift, invoice: Invoice, *, cause: str, settings: Settings
) -> None:
    """Keep the fact that a month fell into a pause and was not charged, once for each month."""
    day = clock.local_date(invoice.drawn_up_at, settings.organisation.time_zone)
    fact = {"left_out": invoice.remote_id, "on": day.isoformat()}
    noted = sa.select(RecurringGiftEvent.detail).where(
        RecurringGiftEvent.recurring_gift_id == giver.id
    )
    if fact not in session.scalars(noted).all():
        note(session, RecurringGift, giver.id, giver.status, cause=cause, **fact)


def active_of(
    session: Session, donor_id: int | None, *, besides: RecurringGift | None = None
) -> RecurringGift | None:
    """Return the donor's oldest monthly gift that has not ended, *besides* that one."""
    oldest = (
        sa.select(RecurringGift)
        .where(RecurringGift.donor_id == donor_id, RecurringGift.status.in_(_LIVE))
        .order_by(RecurringGift.id)
        .limit(1)
    )
    return session.scalar(oldest.where(RecurringGift.id != besides.id) if besides else oldest)


def _lock(session: Session, seen: Observation) -> RecurringGift | None:
    """Find the row by the subscription, or by the reference we gave Stripe at the start."""
    subscription_id = (seen.subscription and seen.subscription.remote_id) or (
        seen.checkout and seen.checkout.subscription_id
    )
    giver = None
    if subscription_id:
        by_subscription = sa.select(RecurringGift).where(RecurringGift.remote_id == subscription_id)
        giver = session.scalar(by_subscription.with_for_update())
    if giver is None and seen.reference is not None:
        by_reference = sa.select(RecurringGift).where(RecurringGift.public_id == seen.reference)
        giver = session.scalar(by_reference.with_for_update())
    return giver


def _follow(
    session: Session,
    giver: RecurringGift,
    subscription: Subscription,
    cause: str,
    settings: Settings,
) -> None:
    """Take over what the subscription says now; what it says is never inferred from events."""
    if giver.remote_status == "canceled" and giver.remote_id == subscription.remote_id:
        # Nothing brings it back at Stripe, so that anything else was read before it ended.
        return
    status = status_of(
        subscription.remote_state, paused=subscription.paused, gave_up=subscription.gave_up
    )
    amount = subscription.amount or giver.amount
    changed = (giver.status, giver.amount) != (status, amount)
    giver.remote_id = subscription.remote_id
    giver.remote_status = subscription.remote_state
    giver.customer_remote_id = subscription.customer_id
    giver.started_at = giver.started_at or subscription.started_at
    giver.ended_at = subscription.ended_at
    giver.resumes_at = subscription.resumes_at
    if subscription.card is not None:
        cards.take_over(giver, subscription.card)
    giver.next_on = (
        clock.local_date(subscription.next_at, settings.organisation.time_zone)
        if subscription.next_at and status in _LIVE
        else None
    )
    if amount != giver.amount:
        giver.amount_minor, giver.currency = amount.minor, amount.currency
        giver.fee_cover_minor = 0
    if status in _LIVE and giver.donor_id is None:
        giver.donor_id = find_or_create(session, parse_email(giver.email), giver.name)
        giver.origin = {}
    if changed:
        giver.status = status
        note(
            session,
            RecurringGift,
            giver.id,
            status,
            cause=cause,
            remote_status=subscription.remote_state,
            amount_minor=amount.minor,
            currency=amount.currency,
        )
