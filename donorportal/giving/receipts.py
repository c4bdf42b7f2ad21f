"""Receipts: gapless numbers, and the mail that carries them."""

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from babel.dates import format_date
from sqlalchemy.orm import Session

from donorportal import clock, letters
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.models import Designation, Gift, Receipt, ReceiptSeries, RecurringGift
from donorportal.giving.recovery.charges import failed_before

# A receipt that comes so long after the gift says why; reconciliation may find a gift late.
_LATE = timedelta(days=14)


def number_of(year: int, serial: int) -> str:
    """Return the number printed on a receipt, for example ``R-26-104037``."""
    return f"R-{year % 100:02d}-{serial:06d}"


def issue(session: Session, gift: Gift) -> Receipt:
    """Give the gift the next number of its year.

    The year's row stays locked until the transaction ends: a number is used exactly when the gift
    is booked, so there are no gaps.
    """
    year = day_of(gift).year
    session.execute(
        upsert(session, ReceiptSeries)
        .values(year=year, last_serial=0)
        .on_conflict_do_nothing(index_elements=["year"])
    )
    serial = session.execute(
        sa.update(ReceiptSeries)
        .where(ReceiptSeries.year == year)
        .values(last_serial=ReceiptSeries.last_serial + 1)
        .returning(ReceiptSeries.last_serial)
    ).scalar_one()
    receipt = Receipt(
        gift_id=gift.id,
        year=year,
        serial=serial,
        number=number_of(year, serial),
        issued_at=clock.now(),
    )
    session.add(receipt)
    return receipt


def day_of(gift: Gift) -> date:
    """Return the date of a gift that was received.

    Raises:
        ValueError: The gift was not received.

    """
    if gift.given_on is None:
        raise ValueError(f"gift {gift.id} has no date yet")
    return gift.given_on


def mail(
    session: Session,
    gift: Gift,
    receipt: Receipt,
    *,
    recurring: RecurringGift | None,
    also_monthly: RecurringGift | None,
    settings: Settings,
) -> None:
    """Put the receipt into the outbox; a gift's receipt is mailed once, whoever asks how often."""
    letters.write(
        session,
        settings,
        "gift-receipt",
        address=gift.email,
        key=f"receipt:{gift.id}",
        context=_context(session, gift, receipt, recurring, also_monthly, settings),
    )


def _context(  # noqa: PLR0917 - all of it goes into one letter
    session: Session,
    gift: Gift,
    receipt: Receipt,
    recurring: RecurringGift | None,
    also_monthly: RecurringGift | None,
    settings: Settings,
) -> dict[str, Any]:
    locale = settings.organisation.locale
    designation = session.get_one(Designation, gift.designation_code)
    next_on = recurring.next_on if recurring else None
    return {
        "name": gift.name,
        "amount_text": gift.amount.text(locale),
        "currency": gift.currency,
        "given_on_text": format_date(day_of(gift), "long", locale=locale),
        "given_on_short": _day(day_of(gift), locale),
        "receipt_number": receipt.number,
        "designation_name": designation.name,
        "frequency": "monthly" if recurring else "once",
        "next_on_text": format_date(next_on, "long", locale=locale) if next_on else None,
        "tribute_text": _tribute(gift),
        "card_text": f"{(gift.card_brand or 'card').title()} ending in {gift.card_last4}"
        if gift.card_last4
        else None,
        "late": clock.now().date() - day_of(gift) > _LATE,
        "recovered": failed_before(session, gift.invoice_remote_id),
        "also_monthly_text": also_monthly.amount.text(locale) if also_monthly else None,
        "portal_url": f"{settings.public_url}/portal/",
    }


def _day(day: date, locale: str) -> str:
    """Say a day without its year, as people of this locale put it."""
    return format_date(day, "MMMM d" if locale == "en_US" else "d MMMM", locale=locale)


def _tribute(gift: Gift) -> str | None:
    if not gift.tribute_name:
        return None
    phrase = "In memory of" if gift.tribute_type == "memory" else "In honour of"
    return f"{phrase} {gift.tribute_name}"
