"""Asking for a refund: stored first, sent to Stripe second, booked third.

What was asked for is a row before Stripe hears of it, and the key that Stripe is given is the
row's. Whatever crashes in between, ``finishing`` picks the row up and ends with one refund.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.giving.events import note
from donorportal.giving.models import Gift, GiftStatus
from donorportal.giving.returns.models import (
    GOING_BACK,
    DisputeRecord,
    Refund,
    RefundStatus,
)
from donorportal.giving.settlement import settle
from donorportal.jobs.queueing import enqueue
from donorportal.ledger import halting
from donorportal.money import Money
from donorportal.payments.gateway import (
    Gateway,
    GatewayRejected,
    GatewayUnavailable,
    Observation,
)
from donorportal.payments.returns import DisputeState

FINISH_TASK = "returns.finish_refund"
# So long the request that asked has to finish by itself.
_PATIENCE = timedelta(minutes=2)
# Stripe forgets keys after a day; asking again later could refund twice.
_ASK_AGAIN_FOR = timedelta(hours=23)


class RefundRefused(Exception):  # noqa: N818 - named for what happened
    """The gift cannot be refunded so; the message is for whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAsked:
    """A refund that is stored.

    Attributes:
        payment_id: Whose money it is, at the payment service.
        remote_id: The refund there, once it is known.
        is_fresh: Asked so recently that asking again with the same key is safe.

    """

    row_id: int
    gift_id: int
    key: UUID
    attempt: int
    payment_id: str
    amount: Money
    actor: str
    remote_id: str | None
    is_fresh: bool


def ask_refund(
    session: Session, gift_id: int, amount: Money | None, *, key: UUID, actor: str, reason: str
) -> RefundAsked:
    """Store that *amount* of a gift, or all that is left, is to go back; the caller commits.

    The gift stays locked until then, so that parallel refunds never exceed it. The same *key*
    again returns what was stored before. *reason* is for staff and for the history.

    Raises:
        RefundRefused: With the sentence that says why.

    """
    locked = sa.select(Gift).where(Gift.id == gift_id).with_for_update()
    gift = session.scalar(locked, execution_options={"populate_existing": True})
    if gift is None:
        raise RefundRefused("There is no such gift.")
    known = session.scalar(sa.select(Refund).where(Refund.key == key))
    if known is not None:
        if known.gift_id != gift.id:
            raise RefundRefused("This form was used for another gift. Please start again.")
        return _asked(known, gift)
    row = Refund(
        gift_id=gift.id,
        key=key,
        amount_minor=_allowed(session, gift, amount).minor,
        currency=gift.currency,
        status=RefundStatus.ASKED,
        actor=actor,
        reason=reason[:200],
        refunded_on=clock.now().date(),
        created_at=clock.now(),
    )
    session.add(row)
    session.flush()  # The job and the history name the row.
    detail = {"refund": row.id, "minor": row.amount_minor, "currency": row.currency}
    note(session, Gift, gift.id, gift.status, cause=actor, asked=detail, reason=row.reason)
    record(
        session,
        actor=actor,
        action="ask refund",
        subject=f"gift:{gift.id}",
        detail=detail | {"reason": row.reason},
    )
    delay = timedelta(0) if actor == "system" else _PATIENCE
    enqueue(session, FINISH_TASK, key=f"refund:{row.id}", delay=delay, refund=row.id)
    return _asked(row, gift)


def left_of(session: Session, gift: Gift) -> Money:
    """Return how much of a gift could still be refunded."""
    refunds = sa.select(sa.func.coalesce(sa.func.sum(Refund.amount_minor), 0)).where(
        Refund.gift_id == gift.id, Refund.status.in_([RefundStatus.ASKED, *GOING_BACK])
    )
    taken = int(session.scalar(refunds) or 0) + gift.lost_minor + gift.disputed_minor
    return Money(max(0, gift.amount_minor - taken), gift.currency)


def why_not(session: Session, gift: Gift) -> str | None:
    """Say why nothing of a gift can be refunded now, None if something can."""
    if gift.status != GiftStatus.RECEIVED:
        return "This gift was not received, so there is nothing to refund."
    if gift.payment_remote_id is None:
        return "This gift was not paid through Stripe, so Stripe cannot refund it."
    if halting.standing(session) is not None:
        return "Nothing can be booked until the books have been put right. Please refund later."
    return _what_is_gone(session, gift)


def carry_out(gateway: Gateway, asked: RefundAsked) -> Observation:
    """Let Stripe send the money back, and return what is true afterwards; no transaction is open.

    Raises:
        GatewayUnavailable: No definite answer; the job finishes it.
        GatewayRejected: Stripe refuses; call ``give_up``.

    """
    remote_id = asked.remote_id
    is_first = asked.is_fresh and asked.attempt == 1
    if remote_id is None and not is_first:
        remote_id = gateway.returns.find_refund(asked.payment_id, key=asked.key)
    if remote_id is None and not asked.is_fresh:
        raise GatewayRejected("Stripe never heard of it")
    if remote_id is None:
        remote_id = gateway.returns.refund(
            asked.payment_id, asked.amount, key=asked.key, attempt=asked.attempt
        )
    try:
        seen = gateway.observe(remote_id)
    except GatewayRejected as rejected:
        # The money is on its way: whatever cannot be read about it, nothing was refused.
        raise GatewayUnavailable(f"{remote_id} was not understood: {rejected}") from rejected
    if seen is None:
        raise GatewayUnavailable(f"Stripe does not show {remote_id} yet")
    return seen


def settle_refund(
    session: Session, asked: RefundAsked, seen: Observation, *, settings: Settings
) -> RefundStatus:
    """Book what was seen after asking, and return where the refund stands."""
    settle(session, seen, cause=asked.actor, settings=settings)
    return RefundStatus(session.get_one(Refund, asked.row_id).status)


def give_up(session: Session, asked: RefundAsked, why: str) -> None:
    """Write down that Stripe refused; doing so again, or after all had gone well, does nothing."""
    session.scalar(sa.select(Gift.id).where(Gift.id == asked.gift_id).with_for_update())
    row = session.get_one(Refund, asked.row_id, with_for_update=True)
    if row.status != RefundStatus.ASKED:
        return
    row.status, row.failure = RefundStatus.CANCELED, why[:120]
    gift = session.get_one(Gift, asked.gift_id)
    note(session, Gift, gift.id, gift.status, cause=asked.actor, refused=row.id, failure=why)


def begin_anew(session: Session, asked: RefundAsked) -> None:
    """Let the next try be a new attempt, because Stripe would repeat its error to this one.

    It begins with a look whether the failed one has made the refund after all.
    """
    session.execute(
        sa.update(Refund)
        .where(Refund.id == asked.row_id, Refund.attempt == asked.attempt)
        .values(attempt=asked.attempt + 1)
        .execution_options(synchronize_session=False)
    )


def stored(session: Session, row_id: int) -> RefundAsked | None:
    """Return a refund that Stripe has not answered; None if it has, or was given up."""
    row = session.get(Refund, row_id)
    if row is None or row.status != RefundStatus.ASKED:
        return None
    return _asked(row, session.get_one(Gift, row.gift_id))


def _asked(row: Refund, gift: Gift) -> RefundAsked:
    if row.key is None:
        raise ValueError(f"refund {row.id} was not asked for by us")
    return RefundAsked(
        row_id=row.id,
        gift_id=gift.id,
        key=row.key,
        attempt=row.attempt,
        payment_id=gift.payment_remote_id or "",
        amount=row.amount,
        actor=row.actor,
        remote_id=row.remote_id,
        is_fresh=clock.now() - row.created_at < _ASK_AGAIN_FOR,
    )


def _allowed(session: Session, gift: Gift, amount: Money | None) -> Money:
    refusal = why_not(session, gift)
    if refusal is not None:
        raise RefundRefused(refusal)
    left = left_of(session, gift)
    if amount is None:
        return left
    if amount.currency != gift.currency:
        raise RefundRefused(f"The gift was given in {gift.currency}.")
    if amount.minor <= 0:
        raise RefundRefused("A refund is more than nothing.")
    if amount.minor > left.minor:
        raise RefundRefused(f"At most {left.exact()} is left to refund.")
    return amount


def _what_is_gone(session: Session, gift: Gift) -> str | None:
    if gift.disputed_minor:
        return "The donor's bank is disputing this gift, and Stripe refuses refunds until it ends."
    if _was_lost(session, gift):
        return "The donor's bank has taken this gift back, so Stripe refuses refunds of it."
    if left_of(session, gift).minor == 0:
        return "Nothing of this gift is left to refund."
    return None


def _was_lost(session: Session, gift: Gift) -> bool:
    lost = sa.select(DisputeRecord.id).where(
        DisputeRecord.gift_id == gift.id, DisputeRecord.status == DisputeState.LOST
    )
    return session.scalar(lost.limit(1)) is not None
