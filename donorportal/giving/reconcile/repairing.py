"""Repairing a difference: by the functions that webhooks use, or not at all."""

from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.giving import receipts
from donorportal.giving.events import note
from donorportal.giving.models import Gift, GiftStatus, Receipt, RecurringGift
from donorportal.giving.payouts.following import read_again
from donorportal.giving.payouts.matching import book_other
from donorportal.giving.payouts.models import Payout
from donorportal.giving.reconcile import balancing, recording
from donorportal.giving.reconcile.comparing import Found
from donorportal.giving.reconcile.desk import Desk
from donorportal.giving.reconcile.kinds import ABOUT, Kind, Repair
from donorportal.giving.reconcile.looking import at_objects, thing_of
from donorportal.giving.reconcile.models import DifferenceState
from donorportal.giving.settlement import settle
from donorportal.ledger import accounts
from donorportal.ledger.halting import PostingHalted
from donorportal.ledger.models import Entry, Posting
from donorportal.ledger.posting import Line, move, post
from donorportal.money import Money
from donorportal.payments.gateway import Gateway, GatewayRejected
from donorportal.payments.listing import Listed, Thing
from donorportal.payments.payouts import BalanceLine

_CAUSE = "reconciliation"


def repair(desk: Desk, gateway: Gateway, settings: Settings, found: Found, *, by: str) -> bool:
    """Repair one difference if a rule says how, and see whether that helped.

    What did not help, or what the rule does not cover after all, is left to a person.

    Raises:
        GatewayUnavailable: No definite answer.

    """
    how = ABOUT[found.kind].repair
    remark: str | None
    try:
        if how is Repair.SETTLE:
            remark = _settle(desk, gateway, settings, found)
        else:
            remark = _put_right(desk, gateway, settings, found, how)
    except GatewayRejected as rejected:
        remark = f"Stripe's answer was not understood: {rejected}"
    except PostingHalted:
        return False  # It can be repaired once posting goes on.
    is_left = _is_still_there(desk, gateway, settings, found)
    with desk.noting() as session:
        if is_left:
            remark = remark or "Booking it again did not help."
            recording.close(session, found, DifferenceState.PERSON, by=by, note=remark)
            return False
        recording.close(session, found, DifferenceState.REPAIRED, by=by, note=remark)
        subject = f"gift:{found.gift_id}" if found.gift_id else found.object_id[:80]
        detail = {"kind": found.kind, "object": found.object_id, "was": found.found}
        record(session, actor=by, action="repair difference", subject=subject, detail=detail)
    return True


def book_as_other(
    desk: Desk, gateway: Gateway, settings: Settings, found: Found, *, by: str
) -> bool:
    """Book a movement that a person says belongs to no gift; False if there is none to book.

    Raises:
        GatewayUnavailable: No definite answer.

    """
    transaction_id: str | None = found.object_id
    if ABOUT[found.kind].thing is Thing.CHARGE:
        charge = gateway.listing.one(Thing.CHARGE, found.object_id)
        transaction_id = charge.transaction_id if charge else None
    moved = gateway.listing.one(Thing.MOVEMENT, transaction_id) if transaction_id else None
    if moved is None or moved.line is None:
        return False
    with desk.noting() as session:
        book_other(session, moved.line, settings=settings)
        recording.close(session, found, DifferenceState.REPAIRED, by=by, note="It is no gift.")
        detail = {"kind": found.kind, "object": found.object_id, "transaction": transaction_id}
        record(
            session, actor=by, action="book as no gift", subject=found.object_id[:80], detail=detail
        )
    return True


def _settle(desk: Desk, gateway: Gateway, settings: Settings, found: Found) -> str | None:
    """Read it again and book it; return why a person should look, if one should."""
    seen = gateway.observe(found.look_at or found.object_id)
    if seen is None:
        return "Stripe does not know it any more."
    with desk.noting() as session:
        return settle(session, seen, cause=_CAUSE, settings=settings).concern


def _put_right(
    desk: Desk, gateway: Gateway, settings: Settings, found: Found, how: Repair
) -> str | None:
    """Repair what follows from no observation; return why it could not be, if so."""
    thing = thing_of(found.kind, found.object_id)
    there = gateway.listing.one(thing, found.object_id) if thing else None
    with desk.noting() as session:
        if how is Repair.RECEIPT:
            return _give_receipt(session, found, settings)
        if how is Repair.READ_LINES:
            return _read_lines(session, found)
        if found.kind is Kind.COST_WITHOUT_MOVEMENT:
            return _reverse(session, found.object_id)
        return _put_right_from(session, found, there, settings)


def _put_right_from(
    session: Session, found: Found, there: Listed | None, settings: Settings
) -> str | None:
    """Repair what follows from one object as it is now."""
    if there is None:
        return "Stripe does not know it any more."
    if found.kind is Kind.WRONG_AMOUNT:
        return _correct_amount(session, found, there)
    if there.line is None:
        return "Stripe does not say what it kept."
    if found.kind is Kind.FEE_WRONG:
        return _correct_fee(session, there.line)
    book_other(session, there.line, settings=settings)
    return None


def _is_still_there(desk: Desk, gateway: Gateway, settings: Settings, found: Found) -> bool:
    if ABOUT[found.kind].repair is Repair.READ_LINES:
        return False  # A job reads them; the next comparison will tell.
    thing = thing_of(found.kind, found.object_id)
    if thing is None:
        with desk.reading() as session:
            return balancing.still_stands(session, found)
    again = at_objects(desk, gateway, settings, thing, [found.object_id])
    return found.key in {one.key for one in again}


def _give_receipt(session: Session, found: Found, settings: Settings) -> str | None:
    """Give a received gift the receipt that it lacks; it is mailed if that never happened."""
    locked = sa.select(Gift).where(Gift.id == found.gift_id).with_for_update()
    gift = session.scalars(locked).one()
    has_one = session.scalar(sa.select(Receipt.id).where(Receipt.gift_id == gift.id))
    if gift.status != GiftStatus.RECEIVED or has_one is not None:
        return None
    receipt = receipts.issue(session, gift)
    giver = session.get(RecurringGift, gift.recurring_gift_id) if gift.recurring_gift_id else None
    if gift.needs_look is None:
        receipts.mail(session, gift, receipt, recurring=giver, also_monthly=None, settings=settings)
    return None


def _read_lines(session: Session, found: Found) -> str | None:
    payout_id = session.scalar(sa.select(Payout.id).where(Payout.remote_id == found.object_id))
    if payout_id is not None:
        read_again(session, payout_id)
    return None


def _correct_amount(session: Session, found: Found, there: Listed) -> str | None:
    """Give a gift the amount that the payment and the ledger agree about."""
    locked = sa.select(Gift).where(Gift.id == found.gift_id).with_for_update()
    gift = session.scalars(locked).one()
    booked = session.scalar(
        sa.select(Posting.amount_minor)
        .join(Entry, Entry.id == Posting.entry_id)
        .where(Entry.source == f"charge:{found.object_id}", Posting.account == accounts.CLEARING)
        .where(Posting.currency == gift.currency)
    )
    if there.amount is None or booked != there.amount.minor:
        return "The ledger, the gift and the payment do not agree; nobody can tell by rule."
    before = gift.amount
    gift.amount_minor = booked
    gift.fee_cover_minor = min(gift.fee_cover_minor, booked - 1)
    gift.needs_look = f"Its amount was corrected from {before.exact()}. Is its receipt right?"
    note(session, Gift, gift.id, gift.status, cause=_CAUSE, amount_was=before.minor)
    return None


def _correct_fee(session: Session, line: BalanceLine) -> str | None:
    """Post the difference to the fee that was really kept, on the day of the wrong entry."""
    movement, transaction_id = line.movement, line.movement.transaction_id
    wrong = session.execute(
        sa.select(Entry.effective_on, Posting.amount_minor)
        .join(Posting, Posting.entry_id == Entry.id)
        .where(Entry.source == f"fee:{transaction_id}", Posting.account == accounts.FEES)
        .where(Posting.currency == movement.fee.currency)
    ).first()
    if wrong is None:
        return "The entry of the fee is in another currency."
    missing = movement.fee - Money(int(wrong.amount_minor), movement.fee.currency)
    lines = move(missing, debit=accounts.FEES, credit=accounts.CLEARING)
    return _correction(session, transaction_id, wrong.effective_on, lines)


def _reverse(session: Session, source: str) -> str | None:
    """Post the reverse of an entry, on its own day."""
    rows = session.execute(
        sa.select(Entry.effective_on, Posting.account, Posting.currency, Posting.amount_minor)
        .join(Posting, Posting.entry_id == Entry.id)
        .where(Entry.source == source)
    ).all()
    if not rows:
        return "There is no such entry."
    lines = [Line(row.account, Money(-int(row.amount_minor), row.currency)) for row in rows]
    return _correction(session, source, rows[0].effective_on, lines)


def _correction(session: Session, name: str, on: date, lines: list[Line]) -> str | None:
    """Post one correction of a movement or entry; a second is for a person to think about."""
    posted = post(
        session, source=f"correction:{name}", effective_on=on, lines=lines, detail={"of": name}
    )
    return None if posted else "It was corrected before, and is wrong again."
