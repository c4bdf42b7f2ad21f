"""Counting charges that banks declined: what card testers buy from us is the answer yes or no.

A decline counts once for the e-mail address, network address, network, browser and card that it
came from. Too many of them block who made them for a day and close the page they are made on, and
when most of the site's payments are declined, the form asks everybody for proof of work.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.models import Gift, GiftStatus, Receipt, RecurringGift
from donorportal.giving.shield import alarm, holds, tallies
from donorportal.giving.shield.marks import mark
from donorportal.giving.shield.models import Decline
from donorportal.giving.shield.tallies import What
from donorportal.jobs import queueing
from donorportal.jobs.running import Run
from donorportal.limits.counting import Limit, counted
from donorportal.payments.gateway import DeclinedCharge, Gateway, Observation

CLOSE_TASK = "giving.close_page"
_WINDOW = timedelta(minutes=10)
_HELD_FOR = timedelta(days=1)
_MOST = {"address": 5, "email": 5, "browser": 5, "card": 5, "donor": 10, "network": 25}
_LOOKED_AT = 20
"""Over so many of the last payments it is judged whether most are declined."""
_LARGEST_CROWD = 10
_RECENT = timedelta(hours=1)
_RECEIPTS_READ = 200
# A payment page is closed by then, and with it the attempt.
_PAGE_OPEN = timedelta(hours=3)

_Attempt = Gift | RecurringGift


def note(session: Session, seen: Observation, *, settings: Settings) -> None:
    """Count the declined charge that was seen, if one was, and act on it."""
    declined = seen.declined
    if declined is None:
        return
    attempt = _attempt_of(session, seen, declined)
    if attempt is not None and attempt.status not in {GiftStatus.STARTED, GiftStatus.ABANDONED}:
        # A renewal that fails is no attempt of anybody's.
        return
    if not _is_new(session, declined):
        return
    tallies.tally(session, What.DECLINED)
    marks = _marks(settings, attempt, declined)
    if _hold(session, marks, settings.checkout_limit_factor) and attempt is not None:
        _close(session, attempt)
    _judge(session, settings.checkout_limit_factor)


def close_page(_run: Run, gateway: Gateway, *, checkout: str) -> None:
    """Close a payment page on which cards are tested.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    # What becomes of the attempt arrives as an event like any other.
    gateway.expire_checkout(checkout)


def _attempt_of(session: Session, seen: Observation, declined: DeclinedCharge) -> _Attempt | None:
    """Find the attempt that the charge belongs to.

    The payment of a monthly gift's page knows nothing of us before it succeeds; then it is the
    newest open attempt with the e-mail address that the page was opened for.
    """
    if seen.reference is not None:
        return _by_reference(session, seen)
    if not declined.email:
        return None
    return session.scalar(
        sa.select(RecurringGift)
        .where(
            RecurringGift.status == GiftStatus.STARTED,
            RecurringGift.created_at > clock.now() - _PAGE_OPEN,
            RecurringGift.email == declined.email,
        )
        .order_by(RecurringGift.created_at.desc())
        .limit(1)
    )


def _by_reference(session: Session, seen: Observation) -> _Attempt | None:
    once = session.scalar(sa.select(Gift).where(Gift.public_id == seen.reference))
    return once or session.scalar(
        sa.select(RecurringGift).where(RecurringGift.public_id == seen.reference)
    )


def _is_new(session: Session, declined: DeclinedCharge) -> bool:
    row = {
        "charge_remote_id": declined.charge_id,
        "at": declined.at,
        "reason": (declined.reason or "unknown")[:60],
    }
    written = upsert(session, Decline).on_conflict_do_nothing().returning(sa.literal(1))
    return session.connection().execute(written, row).first() is not None


def _marks(
    settings: Settings, attempt: _Attempt | None, declined: DeclinedCharge
) -> dict[str, str]:
    """Return by what the one who tried is known, the card included."""
    marks = dict(attempt.origin or {}) if attempt is not None else {}
    email = attempt.email if attempt is not None else declined.email
    # Whoever is signed in is known; others could type a donor's address to have it blocked.
    if email and "donor" not in marks:
        marks["email"] = mark(settings, "email", email.casefold())
    if declined.card:
        marks["card"] = mark(settings, "card", declined.card)
    return marks


def _hold(session: Session, marks: dict[str, str], factor: int) -> bool:
    """Count a decline under each mark and block those with too many; True if one is blocked."""
    if not marks:
        return False
    limits = {
        # The last one that is allowed blocks already: there must be no next.
        kind: Limit(f"declined:{text}", _MOST[kind] * factor - 1, _WINDOW)
        for kind, text in marks.items()
    }
    counts = counted(session, *limits.values())
    over = sorted(marks[kind] for kind in limits if counts[limits[kind].key] > limits[kind].most)
    for text in over:
        holds.hold(session, text, _HELD_FOR, why="declines")
    return bool(over or holds.standing(session, marks.values()))


def _close(session: Session, attempt: _Attempt) -> None:
    """Have the attempt's page closed, once the transaction is over."""
    if attempt.checkout_remote_id and attempt.status == GiftStatus.STARTED:
        queueing.enqueue(
            session,
            CLOSE_TASK,
            key=f"close:{attempt.checkout_remote_id}",
            checkout=attempt.checkout_remote_id,
        )


def _judge(session: Session, factor: int) -> None:
    """Sound the alarm when more than half of the last payments were declined."""
    looked_at = _LOOKED_AT * min(factor, _LARGEST_CROWD)
    since = clock.now() - _RECENT
    declined = [(at, True) for at in _declines(session, since, looked_at)]
    arrived = [(at, False) for at in _first_gifts(session, since)]
    last = sorted(declined + arrived, reverse=True)[:looked_at]
    if len(last) == looked_at and sum(bad for _, bad in last) * 2 > looked_at:
        standing = holds.standing(session, [holds.SITE])
        alarm.sound(session, "declines", standing.get(holds.SITE))


def _declines(session: Session, since: datetime, most: int) -> list[datetime]:
    latest = sa.select(Decline.at).where(Decline.at > since).order_by(Decline.at.desc())
    return list(session.scalars(latest.limit(most)))


def _first_gifts(session: Session, since: datetime) -> list[datetime]:
    """Return when the latest gifts arrived that somebody made on a payment page.

    Renewals arrive without anybody trying. They are left out among the latest receipts: writing
    down each payment that succeeds would cost every gift something, and an attack is rare.
    """
    latest = (
        sa.select(Receipt.gift_id, Receipt.issued_at)
        .order_by(Receipt.id.desc())
        .limit(_RECEIPTS_READ)
        .subquery()
    )
    made = (
        sa.select(latest.c.issued_at)
        .join(Gift, Gift.id == latest.c.gift_id)
        .outerjoin(RecurringGift, RecurringGift.id == Gift.recurring_gift_id)
        .where(latest.c.issued_at > since)
        .where(sa.func.coalesce(RecurringGift.created_at, Gift.created_at) > since - _PAGE_OPEN)
    )
    return list(session.scalars(made))
