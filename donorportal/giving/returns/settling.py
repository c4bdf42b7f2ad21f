"""Bringing what went back of a gift in line with what the payment service says now."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving.models import Gift
from donorportal.giving.returns import disputing, refunding
from donorportal.giving.returns.models import DisputeRecord
from donorportal.payments.gateway import Payment
from donorportal.payments.returns import DisputeState, RefundState


def apply_returns(
    session: Session, gift: Gift, payment: Payment, *, cause: str, settings: Settings
) -> str | None:
    """Book every refund and dispute of *payment*; return why a person should look, if one should.

    The gift is locked by the caller. Applying the same again, or an older state, changes nothing.
    """
    if not payment.refunds and not payment.disputes:
        return None
    for returned in payment.refunds:
        refunding.follow(session, gift, returned, cause=cause, settings=settings)
    refunded = refunding.total(session, gift)
    for dispute in payment.disputes:
        disputing.follow(session, gift, dispute, cause=cause, settings=settings)
    lost = _decide(session, gift, refunded, settings)
    # Both at once: the database checks that together they do not exceed the gift.
    gift.refunded_minor, gift.lost_minor = refunded, lost
    gift.disputed_minor = disputing.undecided(session, gift)
    session.flush()  # What is read next goes past the session's objects.
    return _not_understood(payment)


def _decide(session: Session, gift: Gift, refunded: int, settings: Settings) -> int:
    """Let each decided dispute take from the gift what is left of it; return the sum."""
    lost = 0
    disputes = session.scalars(
        sa.select(DisputeRecord)
        .where(DisputeRecord.gift_id == gift.id)
        .order_by(DisputeRecord.opened_on, DisputeRecord.remote_id)
    )
    for row in disputes.all():
        room = gift.amount_minor - refunded - lost
        lost += disputing.clear(session, gift, row, room=room, settings=settings)
    return lost


def _not_understood(payment: Payment) -> str | None:
    for returned in payment.refunds:
        if returned.state is RefundState.UNKNOWN:
            return f"Stripe reports a refund in a state we do not know: {returned.remote_state}"
    for dispute in payment.disputes:
        if dispute.state is DisputeState.UNKNOWN:
            return f"Stripe reports a dispute in a state we do not know: {dispute.remote_state}"
    return None
