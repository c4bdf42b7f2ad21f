"""Carrying out what was asked for: the payment service first, then our books.

No transaction is open while the payment service is asked. What it says afterwards is settled like
any other news, and the same transaction writes the history, the audit trail and the mail. A crash
in between leaves the row "asked", and the job finds it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.partner import asking, charges, finishing
from donorportal.giving.partner.asking import Change
from donorportal.giving.partner.charges import Charge
from donorportal.giving.partner.finishing import Carried
from donorportal.giving.partner.models import Action, ChangeState
from donorportal.giving.returns import asking as refunding
from donorportal.giving.returns.asking import RefundAsked
from donorportal.giving.settlement import settle
from donorportal.jobs.running import Run
from donorportal.payments.gateway import (
    Gateway,
    GatewayFailed,
    GatewayRejected,
    GatewayUnavailable,
    Observation,
    PaymentDeclined,
)
from donorportal.payments.monthly import MonthlyGateway

log = structlog.get_logger()

Transaction = Callable[[], AbstractContextManager[Session]]
"""Opens one transaction, committed at the end."""

FINISH_TASK = "giving.finish_changes"
# So long the request that asked has to finish by itself.
_PATIENCE = timedelta(minutes=1)
# The payment service forgets keys after a day; what was asked longer ago is only looked at.
_ASK_AGAIN_FOR = timedelta(hours=23)
_AT_ONCE = 200


def do(transaction: Transaction, gateway: Gateway, change: Change, settings: Settings) -> Change:
    """Carry out a change and finish it; without an answer it stays as it is, for the job."""
    if change.state != ChangeState.ASKED:
        return change
    try:
        carried = _carry_out(gateway, change)
    except GatewayRejected as rejected:
        return _refused(transaction, gateway, change, settings, str(rejected))
    except GatewayUnavailable as trouble:
        log.warning("change not confirmed", change=str(change.key), trouble=repr(trouble))
        if isinstance(trouble, GatewayFailed):
            with transaction() as session:
                asking.use_another_key(session, change)
        return change
    with transaction() as session:
        finished = finishing.finish(session, change, carried, settings)
    for refund in finished.refunds:
        _send_back(transaction, gateway, refund, settings)
    return finished.change


def finish_changes(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Finish what a crash or a silent payment service left half-way."""
    with run.reading() as session:
        left = asking.unfinished(session, clock.now() - _PATIENCE, limit=_AT_ONCE)
    for row_id in left:
        with run.reading() as session:
            change = asking.load(session, row_id)
        do(run.noting, gateway, change, settings)


def finish_change(run: Run, gateway: Gateway, settings: Settings, *, change: int) -> None:
    """Carry out one change that nobody waits for.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        found = asking.load(session, change)
    if do(run.noting, gateway, found, settings).state == ChangeState.ASKED:
        raise GatewayUnavailable(f"change {change} is not confirmed")


def _carry_out(gateway: Gateway, change: Change) -> Carried:
    """Ask, and look at what is true afterwards; what was asked long ago is only looked at."""
    is_fresh = clock.now() - change.asked_at < _ASK_AGAIN_FOR
    if is_fresh:
        _ask(gateway.monthly, change)
    declined, paid = _try_open_charges(gateway, change) if is_fresh else (False, [])
    seen = [_observed(gateway, change.remote_id), *paid]
    if change.wish.action == Action.ONCE:
        seen += [_observed(gateway, one) for one in gateway.monthly.charges_of(change.remote_id)]
    return Carried(tuple(seen), _coming(gateway, change), declined=declined)


def _ask(monthly: MonthlyGateway, change: Change) -> None:
    """Ask the payment service; what gifts are for, it does not know."""
    wish, remote_id, key = change.wish, change.remote_id, change.remote_key
    if wish.action in {Action.SKIP, Action.PAUSE}:
        _pause(monthly, change)
    elif wish.action in {Action.END, Action.ONCE}:
        monthly.end(remote_id, reason=wish.reason, comment=wish.comment)
    elif wish.action == Action.AMOUNT:
        monthly.change_amount(remote_id, wish.new_amount, key=key)
    elif wish.action == Action.DAY:
        monthly.move_day(remote_id, wish.moment, key=key)
    elif wish.action == Action.RESUME:
        monthly.resume(remote_id, key=key)
    elif wish.action == Action.CARD:
        monthly.use_card(remote_id, wish.card, key=key)


def _pause(monthly: MonthlyGateway, change: Change) -> None:
    monthly.pause(change.remote_id, change.wish.moment, key=change.remote_key)
    if change.wish.action == Action.PAUSE:
        # Charges that are open already would be tried again in the middle of it.
        monthly.void_open(change.remote_id)


def _try_open_charges(gateway: Gateway, change: Change) -> tuple[bool, list[Observation]]:
    """Let a new card pay what the old one did not; say whether the bank refused, and what is paid.

    Whatever the bank says, the card stays: the payment service tries it again by itself.
    """
    if change.wish.action != Action.CARD:
        return False, []
    declined, tried = False, gateway.monthly.open_charges(change.remote_id)
    for charge_id in tried:
        try:
            key = f"{change.remote_key}:{charge_id}"
            gateway.monthly.pay_charge(charge_id, change.wish.card, key=key)
        except PaymentDeclined:
            declined = True
    return declined, [_observed(gateway, charge_id) for charge_id in tried]


def _observed(gateway: Gateway, object_id: str) -> Observation:
    seen = gateway.observe(object_id)
    if seen is None:
        raise GatewayRejected(f"the payment service does not know {object_id}")
    return seen


def _coming(gateway: Gateway, change: Change) -> list[Charge]:
    """Return the next charges, or none: the change is no less done without them."""
    if change.wish.action in {Action.END, Action.ONCE}:
        return []
    try:
        return charges.coming(gateway.monthly.upcoming(change.remote_id))
    except (GatewayUnavailable, GatewayRejected):
        return []


def _refused(
    transaction: Transaction, gateway: Gateway, change: Change, settings: Settings, why: str
) -> Change:
    """Close a change that cannot be; that it ended meanwhile is settled at once."""
    log.error("change refused", change=str(change.key), why=why)
    try:
        seen = gateway.observe(change.remote_id)
    except (GatewayUnavailable, GatewayRejected):
        seen = None
    with transaction() as session:
        if seen is not None:
            settle(session, seen, cause=finishing.CAUSE, settings=settings)
        return finishing.refuse(session, change, why, settings)


def _send_back(
    transaction: Transaction, gateway: Gateway, refund: RefundAsked, settings: Settings
) -> None:
    """Carry out a refund now; without an answer, its own job does."""
    try:
        seen = refunding.carry_out(gateway, refund)
    except GatewayUnavailable:
        return
    except GatewayRejected as rejected:
        with transaction() as session:
            refunding.give_up(session, refund, str(rejected))
        return
    with transaction() as session:
        refunding.settle_refund(session, refund, seen, settings=settings)
