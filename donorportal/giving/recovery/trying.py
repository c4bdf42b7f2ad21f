"""A donor asks the bank again: "try my card now".

The wish is written down first, under the key of its form; Stripe is asked with no transaction
open, under a key that follows from the row; what is true afterwards is settled like any other
news. A wish whose process died in between is finished by ``finish_tries``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.recovery.models import ChargeState, ChargeTry, FailedCharge, TryOutcome
from donorportal.giving.settlement import settle
from donorportal.jobs.running import Run
from donorportal.payments.gateway import (
    Gateway,
    GatewayFailed,
    GatewayRejected,
    Observation,
    PaymentDeclined,
    PaymentState,
)

log = structlog.get_logger()

FINISH_TASK = "recovery.finish_tries"
MOST_PER_DAY = 3
"""More would only teach the bank to refuse."""
_DAY = timedelta(days=1)
# Stripe forgets keys after a day; a wish that old is not carried out any more, only looked at.
_KEY_GOOD_FOR = timedelta(hours=23)
# Whoever asked is still waiting for the answer.
_SURELY_ALONE = timedelta(minutes=2)
_AT_ONCE = 100


class TriedTooOften(Exception):  # noqa: N818 - refusals are named for what happened
    """The bank was asked often enough today."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A try that somebody asked for, written down.

    Attributes:
        outcome: What came of it; None while that is not known.

    """

    key: UUID
    invoice_id: str
    asked_at: datetime
    outcome: TryOutcome | None


def ask(session: Session, recurring_gift_id: int, *, key: UUID, actor: str) -> Asked | None:
    """Write down that the open charge of a monthly gift is to be tried now; None if none is open.

    The same *key* is the same try. That the gift is the actor's has been checked by the caller.

    Raises:
        TriedTooOften: It was tried ``MOST_PER_DAY`` times today.

    """
    known = _asked(session, key)
    if known is not None:
        return known
    charge_id = session.scalar(
        sa.select(FailedCharge.id)
        .where(
            FailedCharge.recurring_gift_id == recurring_gift_id,
            FailedCharge.state == ChargeState.OPEN,
        )
        .order_by(FailedCharge.id.desc())
        .limit(1)
        .with_for_update()
    )
    if charge_id is None:
        return None
    if tries_today(session, charge_id) >= MOST_PER_DAY:
        raise TriedTooOften
    row = {"key": key, "failed_charge_id": charge_id, "actor": actor, "asked_at": clock.now()}
    session.execute(
        upsert(session, ChargeTry).values(row).on_conflict_do_nothing(index_elements=["key"])
    )
    return _asked(session, key)


def tries_today(session: Session, charge_id: int) -> int:
    """Return how often the donor asked the bank again in the last 24 hours."""
    recent = sa.select(sa.func.count()).where(
        ChargeTry.failed_charge_id == charge_id, ChargeTry.asked_at > clock.now() - _DAY
    )
    return session.scalar(recent) or 0


def attempt(gateway: Gateway, asked: Asked) -> Observation:
    """Let the bank be asked, and return what is true afterwards.

    Raises:
        GatewayUnavailable: No definite answer.
        GatewayRejected: The payment service does not know the charge.

    """
    if clock.now() - asked.asked_at < _KEY_GOOD_FOR:
        try:
            gateway.monthly.pay(asked.invoice_id, key=f"charge-try:{asked.key}")
        except (PaymentDeclined, GatewayRejected) as refused:
            # Declined, paid meanwhile, or void: what is true now is read below.
            log.info("charge not paid", invoice=asked.invoice_id, reason=str(refused))
    return _observed(gateway, asked)


def book(session: Session, asked: Asked, seen: Observation, *, settings: Settings) -> TryOutcome:
    """Settle what was seen after a try, and write down once what came of it."""
    settle(session, seen, cause="tried again", settings=settings)
    row, charge = session.execute(
        sa.select(ChargeTry, FailedCharge)
        .join(FailedCharge, FailedCharge.id == ChargeTry.failed_charge_id)
        .where(ChargeTry.key == asked.key)
        .with_for_update(of=ChargeTry)
    ).one()
    if row.outcome is not None:
        return TryOutcome(row.outcome)
    outcome = _outcome(charge, seen)
    row.outcome, row.finished_at = outcome, clock.now()
    record(
        session,
        actor=row.actor,
        action="try charge",
        subject=f"recurring-gift:{charge.recurring_gift_id}",
        detail={"invoice": asked.invoice_id, "outcome": outcome},
    )
    return outcome


def finish_tries(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Finish what was asked for by processes that died before they had an answer.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        left = session.scalars(
            sa.select(ChargeTry.key)
            .where(ChargeTry.finished_at.is_(None))
            .where(ChargeTry.asked_at < clock.now() - _SURELY_ALONE)
            .order_by(ChargeTry.asked_at)
            .limit(_AT_ONCE)
        ).all()
        waiting = [asked for key in left if (asked := _asked(session, key))]
    for asked in waiting:
        try:
            seen = attempt(gateway, asked)
        except GatewayFailed:
            # Stripe repeats its own error under this key for a day; the answer is in the charge.
            seen = _observed(gateway, asked)
        with run.noting() as session:
            book(session, asked, seen, settings=settings)


def _observed(gateway: Gateway, asked: Asked) -> Observation:
    seen = gateway.observe(asked.invoice_id)
    if seen is None:
        raise GatewayRejected(f"the payment service does not know {asked.invoice_id}")
    return seen


def _outcome(charge: FailedCharge, seen: Observation) -> TryOutcome:
    if charge.state == ChargeState.RECOVERED:
        return TryOutcome.PAID
    if charge.state == ChargeState.WITHDRAWN:
        return TryOutcome.WITHDRAWN
    moving = seen.payment is not None and seen.payment.state is PaymentState.PROCESSING
    return TryOutcome.UNDER_WAY if moving else TryOutcome.UNPAID


def _asked(session: Session, key: UUID) -> Asked | None:
    found = session.execute(
        sa.select(FailedCharge.invoice_remote_id, ChargeTry.asked_at, ChargeTry.outcome)
        .join(FailedCharge, FailedCharge.id == ChargeTry.failed_charge_id)
        .where(ChargeTry.key == key)
    ).one_or_none()
    if found is None:
        return None
    invoice_id, asked_at, outcome = found
    return Asked(key, invoice_id, asked_at, TryOutcome(outcome) if outcome else None)
