"""By the clock: charges that stay open, gifts in arrears, and cards about to expire."""

from datetime import date, timedelta

import sqlalchemy as sa
import structlog

from donorportal import clock, letters
from donorportal.config import Settings
from donorportal.giving.models import RecurringGift, RecurringStatus
from donorportal.giving.recovery import wording
from donorportal.giving.recovery.models import ChargeState, FailedCharge
from donorportal.giving.settlement import settle
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, GatewayRejected, Observation

RECHECK_TASK = "recovery.recheck"
FIND_EXPIRING_TASK = "recovery.find_expiring"
WARN_TASK = "recovery.warn_of_expiry"

log = structlog.get_logger()

_CAUSE = "daily look at what is unpaid"
_AT_ONCE = 500
# A charge without a next try is only given up once Stripe had time to choose one.
_TIME_TO_CHOOSE = timedelta(days=1)
_CHARGED = (RecurringStatus.ACTIVE, RecurringStatus.PAUSED)


def recheck(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Look again at all that is unpaid, and end what Stripe has stopped to try.

    Whether Stripe ends a subscription after the last try is a setting over there. Here every gift
    in arrears has an end: it recovers or it lapses.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    for remote_id in _unpaid(run):
        try:
            _recheck(run, gateway, settings, remote_id)
        except GatewayRejected as rejected:
            # The others must not wait for one that needs a person.
            log.warning("unpaid charge not understood", charge=remote_id, reason=str(rejected))


def find_expiring(run: Run) -> None:
    """Queue a warning for each gift whose card ends with this month or the next."""
    today = clock.now().date()
    after = 0
    while True:
        with run.noting() as session:
            found = session.execute(
                sa.select(RecurringGift.id, RecurringGift.card_last4)
                .where(RecurringGift.id > after, RecurringGift.status.in_(_CHARGED))
                .where(_ends_in(today) | _ends_in(_next_month(today)))
                .order_by(RecurringGift.id)
                .limit(_AT_ONCE)
            ).all()
            for gift_id, last4 in found:
                key = f"{WARN_TASK}:{gift_id}:{last4}:{today:%Y-%m}"
                enqueue(session, WARN_TASK, key=key, gift=gift_id)
        if len(found) < _AT_ONCE:
            return
        after = found[-1].id


def warn_of_expiry(run: Run, gateway: Gateway, settings: Settings, *, gift: int) -> None:
    """Tell the donor, once per card and expiry, that the card will soon be out of date.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        remote_id = session.get_one(RecurringGift, gift).remote_id
    seen = gateway.observe(remote_id) if remote_id else None
    if seen is None:
        return
    with run.finishing() as session:
        settle(session, seen, cause="looked again before writing", settings=settings)
        giver = session.get_one(RecurringGift, gift)
        if giver.status not in _CHARGED or not _is_about_to_expire(giver):
            return
        expiry = f"{giver.card_exp_year}-{giver.card_exp_month}"
        letters.write(
            session,
            settings,
            "card-expiring",
            address=giver.email,
            # Of two monthly gifts with one card, the first speaks for both.
            key=f"card-expiring:{giver.donor_id}:{giver.card_last4}:{expiry}",
            context=wording.card_expiring(giver, settings),
        )


def _unpaid(run: Run) -> list[str]:
    """Return the open charges, and the gifts in arrears of which no charge is known."""
    with run.reading() as session:
        charges = sa.select(FailedCharge.invoice_remote_id).where(
            FailedCharge.state == ChargeState.OPEN
        )
        known = sa.exists().where(
            FailedCharge.recurring_gift_id == RecurringGift.id,
            FailedCharge.state == ChargeState.OPEN,
        )
        gifts = sa.select(RecurringGift.remote_id).where(
            RecurringGift.status == RecurringStatus.PAST_DUE,
            RecurringGift.remote_id.is_not(None),
            ~known,
        )
        return [*session.scalars(charges), *(one for one in session.scalars(gifts) if one)]


def _recheck(run: Run, gateway: Gateway, settings: Settings, remote_id: str) -> None:
    seen = gateway.observe(remote_id)
    if seen is not None and seen.subscription is not None and _is_over(seen):
        gateway.monthly.give_up(seen.subscription.remote_id)
        seen = gateway.observe(remote_id)
    if seen is not None:
        with run.noting() as session:
            settle(session, seen, cause=_CAUSE, settings=settings)


def _is_over(seen: Observation) -> bool:
    invoice, subscription = seen.invoice, seen.subscription
    if invoice is None or subscription is None or invoice.remote_state != "open":
        return False
    unpaid = subscription.remote_state in {"past_due", "unpaid"}
    last_tried_at = seen.payment.charged_at if seen.payment else None
    had_time = last_tried_at is not None and clock.now() - last_tried_at > _TIME_TO_CHOOSE
    return unpaid and had_time and not invoice.is_retried and invoice.next_try_at is None


def _is_about_to_expire(giver: RecurringGift) -> bool:
    today = clock.now().date()
    ends = (giver.card_exp_year, giver.card_exp_month)
    return ends in {(day.year, day.month) for day in (today, _next_month(today))}


def _ends_in(month: date) -> sa.ColumnElement[bool]:
    return sa.and_(
        RecurringGift.card_exp_year == month.year, RecurringGift.card_exp_month == month.month
    )


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
