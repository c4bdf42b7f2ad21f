"""The cards that monthly gifts are charged to, kept as current as Stripe keeps them."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.events import note
from donorportal.giving.models import RecurringGift
from donorportal.payments.monthly import Card


def take_over(giver: RecurringGift, card: Card) -> bool:
    """Write down the card of a monthly gift; True if anything about it is new."""
    before = (giver.card_remote_id, giver.card_last4, giver.card_exp_year, giver.card_exp_month)
    giver.card_remote_id, giver.card_brand, giver.card_last4 = (
        card.remote_id,
        card.brand,
        card.last4,
    )
    giver.card_exp_year, giver.card_exp_month = card.expiry
    return before != (card.remote_id, card.last4, *card.expiry)


def follow(session: Session, card: Card, *, cause: str) -> None:
    """Bring every monthly gift that is charged to *card* in line with it."""
    charged = sa.select(RecurringGift).where(RecurringGift.card_remote_id == card.remote_id)
    for giver in session.scalars(charged.order_by(RecurringGift.id).with_for_update()).all():
        if take_over(giver, card):
            expiry = f"{card.exp_year:04d}-{card.exp_month:02d}"
            note(
                *(session, RecurringGift, giver.id, giver.status),
                cause=cause,
                card_last4=card.last4,
                card_expiry=expiry,
            )


def is_another(card: Card | None, earlier: Card | None) -> bool:
    """Say whether *card* is not what it was when the bank refused it."""
    if card is None or earlier is None:
        return False
    now = (card.remote_id, card.last4, card.expiry)
    return now != (earlier.remote_id, earlier.last4, earlier.expiry)
