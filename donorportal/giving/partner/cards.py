"""A card that a donor left on Stripe's page becomes the card of the monthly gift.

The return page and the webhook both come here, in any order; the key follows from the card's
set-up, so that it is one change.
"""

import re
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.models import RecurringGift
from donorportal.giving.partner import asking
from donorportal.giving.partner.asking import AlreadyEnded, Change
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.wishes import Wish
from donorportal.jobs.queueing import enqueue
from donorportal.payments.monthly import CardSetUp

FINISH_TASK = "giving.finish_change"


def take(session: Session, set_up: CardSetUp) -> Change | None:
    """Store that a card was left, and queue what follows; None if there is nothing to do."""
    if not set_up.is_complete or set_up.payment_method_id is None:
        return None
    gift = _gift_of(session, set_up)
    if gift is None or gift.remote_id != set_up.subscription_id:
        return None
    wish = Wish(action=Action.CARD, payment_method=set_up.payment_method_id)
    key = uuid5(gift.public_id, set_up.remote_id)
    try:
        change = asking.ask(session, gift.id, wish, key=key, actor=_actor(set_up, gift))
    except AlreadyEnded:
        return None
    enqueue(session, FINISH_TASK, key=f"change:{key}", change=change.row_id)
    return change


def _gift_of(session: Session, set_up: CardSetUp) -> RecurringGift | None:
    try:
        reference = UUID(set_up.reference or "")
    except ValueError:
        return None
    return session.scalar(sa.select(RecurringGift).where(RecurringGift.public_id == reference))


def _actor(set_up: CardSetUp, gift: RecurringGift) -> str:
    named = set_up.actor or ""
    return named if re.fullmatch(r"(donor|staff):[0-9]{1,18}", named) else f"donor:{gift.donor_id}"
