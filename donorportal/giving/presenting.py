"""What the giving pages show: labels, amounts and sentences."""

from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from babel.dates import format_date, format_timedelta
from babel.numbers import format_decimal

from donorportal.config import Organisation, Settings
from donorportal.giving.catalogue import Offers
from donorportal.giving.forms import GiftForm
from donorportal.giving.models import Gift, Receipt, RecurringGift
from donorportal.money import AmountRefused, Money, currency, parse_amount

_LAST_DAY_OF_EVERY_MONTH = 28


def form_context(form: GiftForm, settings: Settings, offers: Offers, today: date) -> dict[str, Any]:
    """Return everything the giving form shows besides what was typed."""
    organisation = settings.organisation
    kind = currency(form.currency)
    monthly = form.frequency == "monthly"
    suggested = kind.suggested_monthly if monthly else kind.suggested
    least = Money(kind.minimum, kind.code).text(organisation.locale)
    most = Money(kind.maximum, kind.code).text(organisation.locale)
    return {
        "form": form,
        "tiles": [
            {
                "value": str(minor // kind.unit),
                "label": Money(minor, kind.code).text(organisation.locale),
            }
            for minor in suggested
        ],
        "currencies": [{"code": code, "label": code} for code in organisation.currencies],
        "designations": offers.designations,
        "topics": offers.topics,
        "button_label": button_label(form, settings),
        "next_charges_note": next_charges_note(today),
        "limits_note": f"Between {least} and {most}.",
    }


def button_label(form: GiftForm, settings: Settings) -> str:
    """Say what pressing the button will do, as exactly as is known."""
    amount = _amount_typed(form, settings)
    how_much = f" {amount.text(settings.organisation.locale)}" if amount else ""
    return f"Give{how_much} every month" if form.frequency == "monthly" else f"Give{how_much}"


def next_charges_note(today: date) -> str:
    """Say when a monthly gift that starts today is charged."""
    day = _ordinal(today.day)
    shorter = ", or the last day of a shorter month" if today.day > _LAST_DAY_OF_EVERY_MONTH else ""
    return f"Charged today and on the {day} of each month{shorter}. Change or stop any time."


def gift_facts(
    asked: Gift | RecurringGift,
    gift: Gift | None,
    receipt: Receipt | None,
    organisation: Organisation,
    designation_name: str,
) -> dict[str, Any]:
    """Return what the thank-you page says about a gift, or a monthly gift and its first month."""
    next_on = asked.next_on if isinstance(asked, RecurringGift) else None
    given = gift or asked
    on = gift.given_on if gift else None
    return {
        "amount_text": given.amount.text(organisation.locale),
        "frequency": "monthly" if isinstance(asked, RecurringGift) else "once",
        "designation_name": designation_name,
        "receipt_number": receipt.number if receipt else None,
        "given_on": _long(on, organisation),
        "email": asked.email,
        "next_on": _long(next_on, organisation),
        "card_brand": (given.card_brand or "").title() or "Card",
        "card_last4": given.card_last4,
    }


def typed_text(amount: Money, locale: str) -> str:
    """Return an amount the way people type it: without the currency's sign."""
    return format_decimal(amount.decimal, locale=locale)


def share_links(settings: Settings) -> list[dict[str, str]]:
    """Return plain links to tell others about the giving page; nothing is loaded from anywhere."""
    page = quote(f"{settings.public_url}/give", safe="")
    words = quote(f"{settings.organisation.name}: {settings.organisation.mission}", safe="")
    return [
        {"name": "WhatsApp", "url": f"https://wa.me/?text={words}%20{page}"},
        {"name": "Facebook", "url": f"https://www.facebook.com/sharer/sharer.php?u={page}"},
        {"name": "LinkedIn", "url": f"https://www.linkedin.com/sharing/share-offsite/?url={page}"},
        {"name": "X", "url": f"https://x.com/intent/post?url={page}&text={words}"},
        {"name": "E-mail", "url": f"mailto:?subject={words}&body={page}"},
    ]


def refusal_text(wait: timedelta, settings: Settings, *, blocked: bool) -> str:
    """Say for how long a form is not followed; it says nothing about cards or banks."""
    how_long = format_timedelta(wait, "minute", locale=settings.organisation.locale)
    if blocked:
        return (
            f"We cannot take this gift now. Please try again in {how_long}, or write to us."
            " Nothing was charged."
        )
    return (
        "Many gifts were started from here in a short time."
        f" Please try again in {how_long}. Nothing was charged."
    )


def ago(then: datetime, now: datetime) -> str:
    """Say how long ago something was that is at most an hour old."""
    minutes = int((now - then).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    return "a minute ago" if minutes == 1 else f"{minutes} minutes ago"


def _amount_typed(form: GiftForm, settings: Settings) -> Money | None:
    typed = form.amount if form.amount.strip(" ") else form.tile
    try:
        gift = parse_amount(typed, form.currency, settings.organisation.locale)
    except AmountRefused:
        return None
    return form.charged(gift, settings)


def _ordinal(day: int) -> str:
    teens = 10 < day < 20  # noqa: PLR2004 - eleventh to thirteenth are irregular
    suffix = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def _long(day: date | None, organisation: Organisation) -> str | None:
    return format_date(day, "long", locale=organisation.locale) if day else None
