"""What is written down when a change is done, or cannot be: all of it in one transaction."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

from sqlalchemy.orm import Session

from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.giving.events import note
from donorportal.giving.models import OVER, Designation, RecurringGift
from donorportal.giving.partner import asking, reading, telling
from donorportal.giving.partner.asking import Change
from donorportal.giving.partner.charges import Charge
from donorportal.giving.partner.models import Action, ChangeState
from donorportal.giving.returns import asking as refunding
from donorportal.giving.returns.asking import RefundAsked, RefundRefused
from donorportal.giving.settlement import settle
from donorportal.payments.gateway import Observation, Subscription

CAUSE = "change asked for"
NOT_AS_WANTED = "the payment service shows something else"
_ENDING = (Action.END, Action.ONCE)


@dataclass(frozen=True, slots=True)
class Carried:
    """What is true after the payment service was asked."""

    seen: tuple[Observation, ...]
    """The monthly gift first, then charges of it."""
    coming: list[Charge]
    declined: bool
    """The bank did not pay the open charge with the new card either."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A change that is finished, and the refunds that it led to, not yet carried out."""

    change: Change
    refunds: list[RefundAsked] = field(default_factory=list)


def finish(session: Session, change: Change, carried: Carried, settings: Settings) -> Finished:
    """Settle what was seen and close the change: done if it is so now, refused otherwise.

    Doing so twice writes everything once.
    """
    gift = session.get_one(RecurringGift, change.gift_id, with_for_update=True)
    for seen in carried.seen:
        settle(session, seen, cause=CAUSE, settings=settings)
    if not _is_so(change, gift, carried.seen[0].subscription):
        return Finished(refuse(session, change, NOT_AS_WANTED, settings))
    if not asking.is_open(session, change):
        return Finished(asking.load(session, change.row_id))
    outcome = _outcome(change, gift, carried, settings)
    refunds: list[RefundAsked] = []
    if change.wish.action == Action.ONCE:
        refunds = _undo_all_but_the_first(session, change, outcome)
    if change.wish.action == Action.DESIGNATION:
        gift.designation_code = change.wish.designation or gift.designation_code
        outcome["designation"] = session.get_one(Designation, gift.designation_code).name
    closed = asking.close(session, change, ChangeState.DONE, outcome)
    _write_down(session, closed, gift)
    telling.mail_done(session, closed, gift, settings)
    return Finished(closed, refunds)


def refuse(session: Session, change: Change, why: str, settings: Settings) -> Change:
    """Close a change that cannot be. Who asked long ago is told by mail; others see the page."""
    gift = session.get_one(RecurringGift, change.gift_id, with_for_update=True)
    has_ended = gift.status in OVER
    if not asking.is_open(session, change):
        return asking.load(session, change.row_id)
    outcome = {"why": why, "has_ended": has_ended}
    closed = asking.close(session, change, ChangeState.REFUSED, outcome)
    record(
        session,
        actor=change.actor,
        action=f"monthly gift: {change.wish.action} refused",
        subject=f"recurring-gift:{gift.id}",
        detail={"change": str(change.key), "why": why},
    )
    telling.mail_refused(session, closed, gift, settings)
    return closed


def _is_so(change: Change, gift: RecurringGift, subscription: Subscription | None) -> bool:
    """Say whether what was wanted is true now."""
    wish = change.wish
    if wish.action in _ENDING:
        return gift.status in OVER
    if subscription is None or gift.status in OVER:
        return False
    now: dict[Action, Any] = {
        Action.AMOUNT: gift.amount == wish.amount,
        Action.DAY: subscription.next_at == wish.at,
        Action.SKIP: subscription.resumes_at == wish.at,
        Action.PAUSE: subscription.resumes_at == wish.at,
        Action.RESUME: not subscription.paused,
        Action.CARD: subscription.payment_method_id == wish.payment_method,
    }
    return bool(now.get(wish.action, True))


def _outcome(
    change: Change, gift: RecurringGift, carried: Carried, settings: Settings
) -> dict[str, Any]:
    zone = settings.organisation.time_zone
    found: dict[str, Any] = {
        "charges": [
            {
                "on": charge.on(zone).isoformat(),
                "minor": charge.amount.minor,
                "currency": charge.amount.currency,
                "is_left_out": charge.is_left_out,
            }
            for charge in carried.coming
        ]
    }
    if change.wish.action == Action.CARD:
        found |= {"declined": carried.declined, "last4": gift.card_last4}
    return found


def _undo_all_but_the_first(
    session: Session, change: Change, outcome: dict[str, Any]
) -> list[RefundAsked]:
    """Ask for every later gift back, each under a key that follows from the change's."""
    session.flush()  # What was just settled is read.
    gifts = reading.charged_by(session, change.gift_id)
    outcome["kept"] = [_line(gift) for gift in gifts[:1]]
    refunds: list[RefundAsked] = []
    outcome["refunded"] = back = []
    for gift in gifts[1:]:
        key = uuid5(change.key, f"gift:{gift.row_id}")
        try:
            refunds.append(
                refunding.ask_refund(
                    session,
                    gift.row_id,
                    None,
                    key=key,
                    actor=change.actor,
                    reason="The monthly gift was meant to be a single one.",
                )
            )
        except RefundRefused:
            continue  # It has gone back already, or the bank is taking it back.
        back.append(_line(gift))
    return refunds


def _line(gift: reading.ChargedGift) -> dict[str, Any]:
    left = gift.left
    return {"on": gift.given_on.isoformat(), "minor": left.minor, "currency": left.currency}


def _write_down(session: Session, change: Change, gift: RecurringGift) -> None:
    detail = {
        "change": change.wish.action,
        "change_id": change.row_id,
        "by": change.actor.partition(":")[0],
        "asked_at": change.asked_at.isoformat(),
        "wanted": change.wish.to_json(),
        "before": change.before,
        "outcome": change.outcome,
    }
    note(session, RecurringGift, gift.id, gift.status, cause=CAUSE, **detail)
    record(
        session,
        actor=change.actor,
        action=f"monthly gift: {change.wish.action}",
        subject=f"recurring-gift:{gift.id}",
        detail={"change": str(change.key), **change.wish.to_json()},
    )
