"""How an attempt to give ended, for the page to which the donor returns."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from itsdangerous import BadSignature, TimestampSigner
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving import presenting
from donorportal.giving.catalogue import Offers
from donorportal.giving.models import (
    Gift,
    GiftStatus,
    Receipt,
    RecurringGift,
    RecurringStatus,
)

_STATES = {
    GiftStatus.RECEIVED: "received",
    GiftStatus.PLEDGED: "processing",
    GiftStatus.FAILED: "failed",
    GiftStatus.ABANDONED: "expired",
    GiftStatus.STARTED: "open",
}
_REMEMBERED = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Page:
    """What the thank-you page may say.

    Attributes:
        state: received, processing, open, expired, failed or unknown.
        facts: About the gift; None when there is none.

    """

    state: str
    facts: dict[str, Any] | None


def state_of(session: Session, checkout_remote_id: str) -> str:
    """Return the state of the attempt that was paid, or not, on a Checkout page."""
    asked = _find(session, checkout_remote_id)
    return _state(session, asked) if asked else "unknown"


def read(session: Session, checkout_remote_id: str, settings: Settings, offers: Offers) -> Page:
    """Return what our books say about the attempt."""
    asked = _find(session, checkout_remote_id)
    if asked is None:
        return Page("unknown", None)
    gift = asked if isinstance(asked, Gift) else _first_gift(session, asked)
    receipt = session.scalar(sa.select(Receipt).where(Receipt.gift_id == gift.id)) if gift else None
    facts = presenting.gift_facts(
        asked,
        gift,
        receipt,
        settings.organisation,
        offers.designation_name(asked.designation_code),
    )
    return Page(_state(session, asked), facts)


@dataclass(frozen=True, slots=True)
class LastGift:
    """The gift this browser started last, in a cookie that says nothing else.

    It lets us ask "again?" when the same person sends a second form minutes after the first. What
    somebody typed as an e-mail address must not reveal what its owner gave, so the address cannot
    serve for that. Attempts of one browser are counted by it, too; who only reads gets no cookie.

    Attributes:
        browser: Stays the same from one gift of a browser to the next; says nothing else.

    """

    reference: UUID
    browser: str
    COOKIE: ClassVar[str] = "gave"

    @classmethod
    def from_cookie(cls, text: str, settings: Settings) -> "LastGift | None":
        """Read the cookie; None when it is missing, altered or old."""
        try:
            signed = _signer(settings).unsign(text, max_age=int(_REMEMBERED.total_seconds()))
            reference, _, browser = signed.decode().partition(" ")
            return cls(UUID(reference), browser)
        except (BadSignature, ValueError):
            return None

    def remember(self, answer: Any, settings: Settings) -> None:
        """Set the cookie on *answer*."""
        answer.set_cookie(
            self.COOKIE,
            _signer(settings).sign(f"{self.reference} {self.browser}").decode(),
            max_age=_REMEMBERED,
            path="/give",
            secure=settings.public_url.startswith("https://"),
            httponly=True,
            samesite="Lax",
        )

    def given_before(
        self, session: Session, key: UUID, settings: Settings
    ) -> dict[str, str] | None:
        """Return what to say about this gift if it was paid and comes from another form."""
        once = sa.select(Gift).where(Gift.public_id == self.reference, Gift.key != key)
        monthly = sa.select(RecurringGift).where(
            RecurringGift.public_id == self.reference, RecurringGift.key != key
        )
        asked = session.scalar(once) or session.scalar(monthly)
        if asked is None or _state(session, asked) not in {"received", "processing"}:
            return None
        return {
            "amount_text": asked.amount.text(settings.organisation.locale),
            "ago_text": presenting.ago(asked.created_at, clock.now()),
            "url": f"/give/thanks?cs={asked.checkout_remote_id}",
        }


def _find(session: Session, checkout_remote_id: str) -> Gift | RecurringGift | None:
    if not checkout_remote_id:
        return None
    once = sa.select(Gift).where(Gift.checkout_remote_id == checkout_remote_id)
    monthly = sa.select(RecurringGift).where(RecurringGift.checkout_remote_id == checkout_remote_id)
    return session.scalar(once) or session.scalar(monthly)


def _first_gift(session: Session, giver: RecurringGift) -> Gift | None:
    return session.scalar(
        sa.select(Gift).where(Gift.recurring_gift_id == giver.id).order_by(Gift.id).limit(1)
    )


def _state(session: Session, asked: Gift | RecurringGift) -> str:
    if isinstance(asked, Gift):
        return _STATES[GiftStatus(asked.status)]
    gift = _first_gift(session, asked)
    if gift is not None:
        return _STATES[GiftStatus(gift.status)]
    if asked.status == RecurringStatus.ABANDONED:
        return "expired"
    return "open"


def _signer(settings: Settings) -> TimestampSigner:
    return TimestampSigner([*settings.secret_key_fallbacks, settings.secret_key], salt="last gift")
