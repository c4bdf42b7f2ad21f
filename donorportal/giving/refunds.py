"""Refunds: money of a gift that went back, booked as it is found at the payment service."""

from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.clearing import post_costs
from donorportal.giving.events import note
from donorportal.giving.models import Gift, Refund
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.payments.gateway import Payment, Returned


def apply_refunds(
    session: Session, gift: Gift, payment: Payment, *, cause: str, settings: Settings
) -> None:
    """Book every refund of *payment*, each once, with an entry that reverses it.

    What our balance paid for a refund may become known later than the refund itself.
    """
    if not payment.refunds:
        return
    known = set(session.scalars(sa.select(Refund.remote_id).where(Refund.gift_id == gift.id)))
    for returned in payment.refunds:
        refunded_on = clock.local_date(returned.created_at, settings.organisation.time_zone)
        if returned.remote_id not in known:
            _book(session, gift, returned, refunded_on, cause)
        if returned.fee is not None:
            post_costs(session, gift, -returned.amount, returned.fee, on=refunded_on)


def _book(session: Session, gift: Gift, returned: Returned, refunded_on: date, cause: str) -> None:
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
