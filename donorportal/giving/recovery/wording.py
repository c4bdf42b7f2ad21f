"""What the mails about failed charges, lapsed gifts and expiring cards have to say."""

from calendar import monthrange
from datetime import date, datetime
from typing import Any

from babel.dates import format_date

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.models import RecurringGift
from donorportal.giving.recovery import welcome_back
from donorportal.giving.recovery.models import FailedCharge
from donorportal.giving.recovery.reasons import Reason, is_tried_again, reason_of


def charge_failed(giver: RecurringGift, charge: FailedCharge, settings: Settings) -> dict[str, Any]:
    """Return what a donor should know about a charge that the bank did not pay."""
    reason = reason_of(charge.reason)
    # Only the donor can confirm, and only on Stripe's page; without it, another card will do.
    confirm_url = charge.pay_url if reason is Reason.AUTHENTICATION else None
    return {
        **_common(giver, charge, settings),
        "reason": reason,
        "next_try_text": next_try_text(charge, settings),
        "is_tried_again": charge.is_retried and is_tried_again(charge.reason),
        "confirm_url": confirm_url,
        "card_url": f"{_page(giver, settings)}/card",
        "charge_url": f"{_page(giver, settings)}/charge",
    }


def lapsed(giver: RecurringGift, charge: FailedCharge, settings: Settings) -> dict[str, Any]:
    """Return what a donor should know about a monthly gift that ended unpaid."""
    token = welcome_back.token_for(giver, settings)
    return {
        **_common(giver, charge, settings),
        # Stripe goes on counting where it leaves the bank alone.
        "tries": charge.tries if is_tried_again(charge.reason) else 1,
        "welcome_back_url": f"{settings.public_url}/welcome-back/{token}",
    }


def card_expiring(giver: RecurringGift, settings: Settings) -> dict[str, Any]:
    """Return what a donor should know about a card that is soon out of date."""
    year, month = giver.card_exp_year or 1, giver.card_exp_month or 1
    last_day = date(year, month, monthrange(year, month)[1])
    locale = settings.organisation.locale
    return {
        "name": giver.name,
        "amount_text": giver.amount.text(locale),
        "card_text": _card_text(giver),
        "last_day_text": format_date(last_day, "long", locale=locale),
        "next_on_text": format_date(giver.next_on, "long", locale=locale)
        if giver.next_on
        else None,
        "card_url": f"{_page(giver, settings)}/card",
    }


def next_try_text(charge: FailedCharge, settings: Settings) -> str | None:
    """Say when the bank is asked again; None when that is not known or not going to happen."""
    if charge.next_try_at is None or not is_tried_again(charge.reason):
        return None
    return _day(charge.next_try_at, settings)


def _common(giver: RecurringGift, charge: FailedCharge, settings: Settings) -> dict[str, Any]:
    return {
        "name": giver.name,
        "amount_text": charge.amount.text(settings.organisation.locale),
        "failed_on_text": _day(charge.failed_at, settings),
        "card_text": _card_text(giver),
        "portal_url": f"{settings.public_url}/portal/partner",
    }


def _card_text(giver: RecurringGift) -> str:
    if giver.card_last4 is None:
        return "card"
    return f"{(giver.card_brand or 'card').title()} ending in {giver.card_last4}"


def _page(giver: RecurringGift, settings: Settings) -> str:
    return f"{settings.public_url}/portal/partner/{giver.id}"


def _day(instant: datetime, settings: Settings) -> str:
    day = clock.local_date(instant, settings.organisation.time_zone)
    return format_date(day, "long", locale=settings.organisation.locale)
