"""Writing to donors about failed charges, each time after looking again at what is true.

Between the news of a failure and the mail about it, a retry may have paid, or the bank may have
renewed the card. So the charge, the gift and the card are read once more right before the mail is
queued, and when all is well nothing is said.
"""

from datetime import timedelta

import structlog

from donorportal import clock, letters
from donorportal.config import Settings
from donorportal.giving import recurring
from donorportal.giving.models import RecurringGift, RecurringStatus
from donorportal.giving.recovery import cards, wording
from donorportal.giving.recovery.charges import TELL_TASK
from donorportal.giving.recovery.models import ChargeState, FailedCharge
from donorportal.giving.settlement import settle
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, Observation

log = structlog.get_logger()

_CAUSE = "looked again before writing"
# Stripe chooses the time of the next try a little after the failure.
_UNTIL_A_DATE_IS_KNOWN = timedelta(minutes=15)


def tell(
    run: Run, gateway: Gateway, settings: Settings, *, charge: int, dateless: bool = False
) -> None:
    """Tell the donor, once, that the bank did not pay; with *dateless*, even without a date.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    seen = _look_again(run, gateway, charge)
    if seen is None:
        return
    with run.finishing() as session:
        settle(session, seen, cause=_CAUSE, settings=settings)
        row = session.get_one(FailedCharge, charge)
        giver = session.get_one(RecurringGift, row.recurring_gift_id)
        if row.told_at is not None or row.state != ChargeState.OPEN:
            return
        if giver.status != RecurringStatus.PAST_DUE or _has_new_card(seen):
            log.info("nothing to tell", charge=charge, status=giver.status)
            return
        if row.is_retried and row.next_try_at is None and not dateless:
            enqueue(
                session,
                TELL_TASK,
                key=f"{TELL_TASK}:{row.id}:later",
                delay=_UNTIL_A_DATE_IS_KNOWN,
                charge=charge,
                dateless=True,
            )
            return
        row.told_at = clock.now()
        letters.write(
            session,
            settings,
            "charge-failed",
            address=giver.email,
            key=f"charge-failed:{row.id}",
            context=wording.charge_failed(giver, row, settings),
        )


def tell_lapsed(run: Run, gateway: Gateway, settings: Settings, *, charge: int) -> None:
    """Tell the donor, once, that the monthly gift ended unpaid, and how to begin again.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    seen = _look_again(run, gateway, charge)
    if seen is None:
        return
    with run.finishing() as session:
        settle(session, seen, cause=_CAUSE, settings=settings)
        row = session.get_one(FailedCharge, charge)
        giver = session.get_one(RecurringGift, row.recurring_gift_id)
        has_another = recurring.active_of(session, giver.donor_id, besides=giver)
        if giver.status != RecurringStatus.LAPSED or has_another is not None:
            return
        letters.write(
            session,
            settings,
            "monthly-gift-lapsed",
            address=giver.email,
            # Several months may have been open: the gift lapses once.
            key=f"lapsed:{giver.id}",
            context=wording.lapsed(giver, row, settings),
        )


def look(run: Run, gateway: Gateway, settings: Settings, *, invoice: str) -> None:
    """Settle a charge of which no news came.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    seen = gateway.observe(invoice)
    if seen is not None:
        with run.finishing() as session:
            settle(session, seen, cause="looked for what was not told", settings=settings)


def _look_again(run: Run, gateway: Gateway, charge: int) -> Observation | None:
    with run.reading() as session:
        row = session.get_one(FailedCharge, charge)
        invoice_id = None if row.state == ChargeState.RECOVERED else row.invoice_remote_id
    return gateway.observe(invoice_id) if invoice_id else None


def _has_new_card(seen: Observation) -> bool:
    now = seen.subscription.card if seen.subscription else None
    return cards.is_another(now, seen.payment.card if seen.payment else None)
