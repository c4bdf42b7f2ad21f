"""The mails that confirm a change of a monthly gift, or say that it could not be made."""

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from donorportal import clock, letters
from donorportal.config import Settings
from donorportal.giving.models import RecurringGift
from donorportal.giving.partner import words
from donorportal.giving.partner.asking import Change

# Whoever asked later than this still has the page that says what came of it.
_PAGE_IS_GONE = timedelta(minutes=10)


def mail_done(session: Session, change: Change, gift: RecurringGift, settings: Settings) -> None:
    """Confirm a change, once, however often it is finished."""
    organisation = settings.organisation
    _queue(
        session,
        "monthly-changed",
        gift,
        settings,
        key=f"change:{change.key}",
        headline=words.headline(change, organisation),
        sentences=words.sentences(change, organisation),
        charges=words.stored_lines(change.outcome["charges"], organisation.locale),
        by_staff=change.by_staff,
    )


def mail_refused(session: Session, change: Change, gift: RecurringGift, settings: Settings) -> None:
    """Tell somebody who asked long ago that nothing came of it."""
    if clock.now() - change.asked_at < _PAGE_IS_GONE:
        return
    _queue(
        session,
        "monthly-not-changed",
        gift,
        settings,
        key=f"change-refused:{change.key}",
        asked_on_text=words.day_text(
            clock.local_date(change.asked_at, settings.organisation.time_zone),
            settings.organisation.locale,
        ),
        has_ended=change.outcome["has_ended"],
    )


def mail_link(session: Session, gift: RecurringGift, settings: Settings, *, key: str) -> bool:
    """Send the donor the way to the monthly gift; False if *key* was used before."""
    return _queue(
        session,
        "monthly-link",
        gift,
        settings,
        key=f"monthly-link:{key}",
        amount_text=gift.amount.text(settings.organisation.locale),
    )


def _queue(
    session: Session,
    kind: str,
    gift: RecurringGift,
    settings: Settings,
    *,
    key: str,
    **context: Any,
) -> bool:
    about = {"name": gift.name, "partner_url": f"{settings.public_url}/portal/partner"}
    return letters.write(
        session, settings, kind, address=gift.email, key=key, context=about | context
    )
