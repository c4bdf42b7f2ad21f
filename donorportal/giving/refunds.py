"""Refunds: money of a gift that went back, booked as it is found at the payment service."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.events import note
from donorportal.giving.models import Gift, Refund
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.payments.gateway import Payment


def apply_refunds(
    session: Session, gift: Gift, payment: Payment, *, cause: str, settings: Settings
) -> None:
    """Book every refund of *payment* that we do not know yet, with an entry that reverses it."""
    if not payment.refunds:
        return
    known = set(session.scalars(sa.select(Refund.remote_id).where(Refund.gift_id == gift.id)))
    for returned in payment.refunds:
        if returned.remote_id in known:
            continue
        refunded_on = clock.local_date(returned.created_at, settings.organisation.time_zone)
        session.add(
            Refund(
                gift_id=gift.id,
                remote_id=returned.remote_id,
                amount_minor=returned.amount.minor,
                currency=returned.amount.currency,
                status="succeeded",
                reason=returned.reason,
                refunded_on=refunded_on,
                created_at=returned.created_at,
            )
        )
        gift.refunded_minor += returned.amount.minor
        post(
            session,
            source=f"refund:{returned.remote_id}",
            effective_on=refunded_on,
            lines=move(
                returned.amount,
                debit=accounts.gifts(gift.designation_code),
                credit=accounts.CLEARING,
            ),
            detail={"gift": gift.id},
        )
        note(session, Gift, gift.id, gift.status, cause=cause, refunded_minor=returned.amount.minor)
