"""Finding the monthly gift of somebody who is on the telephone."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.donors.addresses import AddressRefused, parse_email
from donorportal.donors.models import Donor
from donorportal.giving.models import RecurringGift, RecurringStatus
from donorportal.giving.partner import overview, words
from donorportal.money import Money

_MOST = 50
_NEVER_BEGAN = (RecurringStatus.STARTED, RecurringStatus.ABANDONED)


@dataclass(frozen=True, slots=True)
class Row:
    """One monthly gift in the list."""

    id: int
    name: str
    email: str
    amount_text: str
    status_text: str
    tone: str
    next_on: str
    """Empty when there is none."""


def search(session: Session, typed: str, settings: Settings) -> list[Row]:
    """Return at most fifty monthly gifts of whoever has this e-mail address or name.

    Without anything typed, the newest ones.
    """
    rows = session.execute(
        sa.select(
            RecurringGift.id,
            Donor.name,
            Donor.email,
            RecurringGift.amount_minor,
            RecurringGift.currency,
            RecurringGift.status,
            RecurringGift.next_on,
        )
        .join(Donor, Donor.id == RecurringGift.donor_id)
        .where(RecurringGift.status.not_in(_NEVER_BEGAN), *_which(typed))
        .order_by(RecurringGift.id.desc())
        .limit(_MOST)
    )
    locale = settings.organisation.locale
    found = []
    for row_id, name, email, minor, currency, status, next_on in rows:
        status_text, tone = overview.STATUS[RecurringStatus(status)]
        amount_text = Money(minor, currency).text(locale)
        next_text = words.day_text(next_on, locale) if next_on else ""
        found.append(Row(row_id, name, email, amount_text, status_text, tone, next_text))
    return found


def _which(typed: str) -> list[sa.ColumnElement[bool]]:
    if not typed:
        return []
    if "@" in typed:
        try:
            return [Donor.email_key == parse_email(typed).key]
        except AddressRefused:
            return [sa.false()]
    return [sa.func.lower(Donor.name).contains(typed.lower(), autoescape=True)]
