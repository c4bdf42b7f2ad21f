"""What donors are told when money goes back: one mail for each change."""

from datetime import date
from typing import Any

from babel.dates import format_date
from sqlalchemy.orm import Session

from donorportal import letters
from donorportal.config import Settings
from donorportal.giving.models import Gift
from donorportal.giving.returns.models import DisputeRecord, Refund


def refund_made(session: Session, gift: Gift, refund: Refund, settings: Settings) -> None:
    """Tell the donor that money is on its way back."""
    facts = {"amount_text": refund.amount.text(settings.organisation.locale)}
    whole = refund.amount_minor == gift.amount_minor
    _mail(session, gift, "refund-made", f"refund:{refund.id}", facts | {"whole": whole}, settings)


def refund_failed(session: Session, gift: Gift, refund: Refund, settings: Settings) -> None:
    """Tell the donor that the money could not be delivered and is with us again."""
    facts = {"amount_text": refund.amount.text(settings.organisation.locale)}
    _mail(session, gift, "refund-failed", f"refund-failed:{refund.id}", facts, settings)


def taken_back(session: Session, gift: Gift, dispute: DisputeRecord, settings: Settings) -> None:
    """Tell the donor that the bank took a gift back after it had arrived."""
    facts = {"amount_text": dispute.amount.text(settings.organisation.locale), "arrived": True}
    _mail(session, gift, "gift-not-paid", f"taken-back:{dispute.remote_id}", facts, settings)


def never_came(session: Session, gift: Gift, settings: Settings) -> None:
    """Tell the donor that the bank did not send what it had promised."""
    facts = {"amount_text": gift.amount.text(settings.organisation.locale), "arrived": False}
    _mail(session, gift, "gift-not-paid", f"never-came:{gift.id}", facts, settings)


def _mail(  # noqa: PLR0917 - all of it goes into one letter
    session: Session, gift: Gift, kind: str, key: str, facts: dict[str, Any], settings: Settings
) -> None:
    locale = settings.organisation.locale
    letters.write(
        session,
        settings,
        kind,
        address=gift.email,
        key=key,
        context=facts
        | {
            "name": gift.name,
            "gift_text": gift.amount.text(locale),
            "given_on_text": _long(gift.given_on, locale),
            "card_text": f"{(gift.card_brand or 'card').title()} ending in {gift.card_last4}"
            if gift.card_last4
            else None,
            "give_url": f"{settings.public_url}/give",
            "portal_url": f"{settings.public_url}/portal/gifts",
        },
    )


def _long(day: date | None, locale: str) -> str | None:
    return format_date(day, "long", locale=locale) if day else None
