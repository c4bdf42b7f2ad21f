"""The link back for somebody whose monthly gift lapsed.

It fills in the giving form and nothing else: it signs nobody in, names nobody, and can be followed
as often as one likes. It is signed so that nobody can learn what others gave by guessing.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlencode
from uuid import UUID

import sqlalchemy as sa
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving import recurring
from donorportal.giving.models import RecurringGift, RecurringStatus
from donorportal.money import Money

GOOD_FOR = timedelta(days=365)


class Link(StrEnum):
    """What a link is worth."""

    GOOD = "good"
    USED = "used"
    """The donor gives every month again."""
    EXPIRED = "expired"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a link leads to.

    Attributes:
        form_query: What fills in the giving form; empty unless the link is good.

    """

    link: Link
    form_query: str = ""


def token_for(giver: RecurringGift, settings: Settings) -> str:
    """Return the token for a link to begin this monthly gift again."""
    return _signer(settings).sign(giver.public_id.hex).decode()


def read(session: Session, token: str, settings: Settings) -> Answer:
    """Say what a link is worth, and what it fills in."""
    try:
        seconds = int(GOOD_FOR.total_seconds())
        public_id = UUID(_signer(settings).unsign(token, max_age=seconds).decode())
    except SignatureExpired:
        return Answer(Link.EXPIRED)
    except (BadSignature, ValueError):
        return Answer(Link.FORGED)
    giver = session.scalar(sa.select(RecurringGift).where(RecurringGift.public_id == public_id))
    if giver is None:
        return Answer(Link.FORGED)
    has_one = recurring.active_of(session, giver.donor_id) if giver.donor_id else None
    if giver.status != RecurringStatus.LAPSED or has_one is not None:
        return Answer(Link.USED)
    return Answer(Link.GOOD, _form_query(giver))


def _form_query(giver: RecurringGift) -> str:
    # The form adds the cover of the fee itself, for whoever ticks it.
    gift = Money(giver.amount_minor - giver.fee_cover_minor, giver.currency)
    return urlencode(
        {
            "frequency": "monthly",
            "amount": str(gift.decimal),
            "currency": giver.currency,
            "designation": giver.designation_code,
        }
    )


def _signer(settings: Settings) -> TimestampSigner:
    # The oldest first: itsdangerous signs with the last.
    secrets = [*reversed(settings.secret_key_fallbacks), settings.secret_key]
    return TimestampSigner(secrets, salt="welcome back")
