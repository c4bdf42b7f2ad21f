"""Gifts and monthly gifts against charges, payment pages, invoices and subscriptions."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving import recurring
from donorportal.giving.models import Gift, GiftStatus, RecurringGift, RecurringStatus
from donorportal.giving.reconcile.comparing import Found, Seen, Window, known, rows_by, say, unknown
from donorportal.giving.reconcile.kinds import Kind
from donorportal.giving.returns.models import DisputeRecord
from donorportal.ledger.models import Entry
from donorportal.money import Money
from donorportal.payments.listing import Listed

_GIFT = (
    *(Gift.id, Gift.status, Gift.amount_minor, Gift.currency),
    *(Gift.payment_remote_id, Gift.charge_remote_id),
)
_LIVE = (RecurringStatus.ACTIVE, RecurringStatus.PAST_DUE, RecurringStatus.PAUSED)
_ENDED = (RecurringStatus.ENDED, RecurringStatus.LAPSED, RecurringStatus.ABANDONED)


def charges(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare charges with gifts: each one that succeeded is one received gift of its amount."""
    mine = known(seen)
    by_charge = rows_by(session, Gift.charge_remote_id, seen, *_GIFT)
    by_payment = rows_by(session, Gift.payment_remote_id, [c.payment_id for c in mine], *_GIFT)
    for remote_id in unknown(seen):
        gift = by_charge.get(remote_id)
        if gift is not None and gift.status == GiftStatus.RECEIVED:
            says = say(_money(gift), "received")
            yield Found(Kind.GIFT_WITHOUT_PAYMENT, remote_id, "nothing", says, gift.id)
    orphans = []
    for charge in mine:
        gift, other = by_charge.get(charge.remote_id), by_payment.get(charge.payment_id or "")
        if gift is not None and other is not None and gift.id != other.id:
            says = f"gifts {min(gift.id, other.id)} and {max(gift.id, other.id)}"
            yield Found(Kind.DUPLICATE_GIFT, charge.remote_id, "one payment", says, gift.id)
        elif gift is not None or other is not None:
            yield from _of_its_gift(charge, gift if gift is not None else other)
        elif charge.state in {"succeeded", "pending"}:
            orphans.append(charge)
    yield from _of_no_gift(session, orphans)
    yield from _taken_back(session, mine, by_charge)


def charges_missing(session: Session, window: Window, there: Seen) -> list[str]:
    """Return the charges of gifts received in the window that the list did not have."""
    rows = session.scalars(
        sa.select(Gift.charge_remote_id)
        .where(Gift.status == GiftStatus.RECEIVED, window.covers(Gift.received_at))
        .where(Gift.charge_remote_id.is_not(None))
    )
    # Of invented gifts nobody pretends that the payment service knows them.
    return [one for one in rows if one and one not in there and one.startswith(("ch_", "py_"))]


def checkouts(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare payment pages with attempts: what is over there is not open here."""
    ended = [one for one in known(seen) if one.state in {"expired", "complete"}]
    ids = [one.remote_id for one in ended]
    for table in (Gift, RecurringGift):
        rows = rows_by(session, table.checkout_remote_id, ids, table.id, table.status)
        for page in ended:
            row = rows.get(page.remote_id)
            if row is None or row.status != GiftStatus.STARTED:
                continue
            gift_id = row.id if table is Gift else None
            expired = page.state == "expired"
            kind = Kind.CHECKOUT_CLOSED if expired else Kind.CHECKOUT_UNSEEN
            yield Found(kind, page.remote_id, page.state, row.status, gift_id, page.remote_id)


def invoices(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare paid invoices with gifts: each month that was paid is a gift."""
    paid = [one for one in known(seen) if one.state == "paid"]
    gifts = rows_by(session, Gift.invoice_remote_id, [one.remote_id for one in paid], Gift.id)
    lacking = [one for one in paid if one.remote_id not in gifts]
    ours = _ours(session, lacking)
    for invoice in lacking:
        if invoice.parent_id in ours or invoice.reference in ours:
            says = say(invoice.amount and invoice.amount.exact(), "paid")
            yield Found(
                Kind.INVOICE_WITHOUT_GIFT,
                invoice.remote_id,
                says,
                "nothing",
                look_at=invoice.remote_id,
            )


def subscriptions(session: Session, seen: Seen, settings: Settings) -> Iterator[Found]:
    """Compare subscriptions with monthly gifts."""
    columns = (
        *(RecurringGift.id, RecurringGift.status, RecurringGift.next_on),
        *(RecurringGift.amount_minor, RecurringGift.currency),
    )
    rows = rows_by(session, RecurringGift.remote_id, seen, *columns)
    for remote_id in unknown(seen):
        row = rows.get(remote_id)
        if row is not None and row.status in _LIVE:
            yield Found(Kind.SUBSCRIPTION_GONE, remote_id, "nothing", say(_money(row), row.status))
    lacking = [one for one in known(seen) if one.remote_id not in rows]
    ours = _ours(session, lacking)
    for subscription in known(seen):
        row = rows.get(subscription.remote_id)
        if row is not None:
            yield from _of_its_monthly_gift(subscription, row, settings)
        else:
            yield from _of_no_monthly_gift(subscription, ours)


def subscriptions_missing(session: Session, window: Window, there: Seen) -> list[str]:
    """Return subscriptions that go on by our books, begun in the window, and were not listed."""
    rows = session.scalars(
        sa.select(RecurringGift.remote_id)
        .where(RecurringGift.status.in_(_LIVE), window.covers(RecurringGift.started_at))
        .where(RecurringGift.remote_id.is_not(None))
    )
    return [one for one in rows if one and one not in there and one.startswith("sub_")]


def is_ours(session: Session, subscription_id: str | None, reference: UUID | None) -> bool:
    """Say whether a subscription or a reference belongs to a monthly gift of ours."""
    mine = sa.or_(RecurringGift.remote_id == subscription_id, RecurringGift.public_id == reference)
    return session.scalar(sa.select(RecurringGift.id).where(mine).limit(1)) is not None


def _of_its_gift(charge: Listed, gift: Any) -> Iterator[Found]:
    """Compare a charge with the gift that it belongs to."""
    received = gift.status == GiftStatus.RECEIVED
    theirs = say(charge.amount and charge.amount.exact(), charge.state)
    ours = say(_money(gift), gift.status)
    kind: Kind | None = None
    if charge.state == "succeeded" and not received:
        kind = Kind.GIFT_NOT_RECEIVED
    elif charge.state == "succeeded":
        kind = _of_amounts(charge, gift)
    elif charge.has_come_back:
        kind = None
    elif received and gift.charge_remote_id == charge.remote_id:
        kind = Kind.GIFT_NOT_PAID
    elif charge.state == "failed" and gift.status == GiftStatus.PLEDGED:
        kind = Kind.PLEDGE_FAILED
    elif charge.state == "pending" and gift.status != GiftStatus.PLEDGED:
        kind = Kind.GIFT_NOT_PLEDGED
    if kind is not None:
        yield Found(kind, charge.remote_id, theirs, ours, gift.id, charge.remote_id)


def _of_amounts(charge: Listed, gift: Any) -> Kind | None:
    if charge.amount is None or charge.amount.currency != gift.currency:
        return Kind.WRONG_CURRENCY
    return None if charge.amount.minor == gift.amount_minor else Kind.WRONG_AMOUNT


def _of_no_gift(session: Session, charges: list[Listed]) -> Iterator[Found]:
    """Tell payments that we lost from those that were never meant for us."""
    if not charges:
        return
    booked = {f"balance:{charge.transaction_id}" for charge in charges if charge.transaction_id}
    by_hand = set(session.scalars(sa.select(Entry.source).where(Entry.source.in_(booked))))
    names = {name for charge in charges if (name := _uuid(charge.reference))}
    attempts = sa.select(Gift.public_id, Gift.id).where(Gift.public_id.in_(names))
    ours: dict[UUID | None, int] = {row.public_id: row.id for row in session.execute(attempts)}
    for charge in charges:
        gift_id = ours.get(_uuid(charge.reference))
        if f"balance:{charge.transaction_id}" in by_hand:
            continue  # Somebody has decided that it is no gift.
        if charge.state == "succeeded":
            kind = Kind.FOREIGN_PAYMENT if gift_id is None else Kind.PAYMENT_WITHOUT_GIFT
        elif gift_id is not None:
            kind = Kind.GIFT_NOT_PLEDGED
        else:
            continue  # If it is foreign, it is early enough to say so when the money is there.
        amount = charge.amount.exact() if charge.amount else "an unknown currency"
        says = say(amount, charge.state)
        yield Found(kind, charge.remote_id, says, "nothing", gift_id, charge.remote_id)


def _taken_back(session: Session, charges: Any, gifts: dict[str, Any]) -> Iterator[Found]:
    """Find bank debits that came back after they had arrived, of which our books say nothing."""
    back = [one for one in charges if one.has_come_back and one.remote_id in gifts]
    ids = [one.remote_id for one in back]
    seen = rows_by(session, DisputeRecord.remote_id, ids, DisputeRecord.id)
    for charge in back:
        if charge.remote_id not in seen:
            gift_id = gifts[charge.remote_id].id
            says = say(charge.amount and charge.amount.exact(), "taken back")
            yield Found(
                Kind.DISPUTE_UNSEEN, charge.remote_id, says, "nothing", gift_id, charge.remote_id
            )


def _of_its_monthly_gift(there: Listed, row: Any, settings: Settings) -> Iterator[Found]:
    status = recurring.status_of(there.state, paused=there.is_paused, gave_up=there.gave_up)
    remote_id = there.remote_id
    if status != row.status:
        yield Found(Kind.MONTHLY_STATUS, remote_id, status, row.status, look_at=remote_id)
    elif row.status in _LIVE:
        if there.amount is not None and (row.amount_minor, row.currency) != (
            there.amount.minor,
            there.amount.currency,
        ):
            says = there.amount.exact()
            yield Found(Kind.MONTHLY_AMOUNT, remote_id, says, _money(row), look_at=remote_id)
        zone = settings.organisation.time_zone
        next_on = clock.local_date(there.next_at, zone) if there.next_at else None
        if next_on != row.next_on:
            yield Found(
                Kind.MONTHLY_DATE, remote_id, say(next_on), say(row.next_on), look_at=remote_id
            )


def _of_no_monthly_gift(there: Listed, ours: set[str]) -> Iterator[Found]:
    if there.reference in ours:
        status = recurring.status_of(there.state, paused=there.is_paused, gave_up=there.gave_up)
        if status in _ENDED:
            return  # The second of two pages of one form; nothing will be charged.
        kind = Kind.SUBSCRIPTION_UNSEEN
    elif there.state in {"canceled", "incomplete", "incomplete_expired"}:
        return
    else:
        kind = Kind.FOREIGN_SUBSCRIPTION
    says = say(there.amount and there.amount.exact(), there.state)
    yield Found(kind, there.remote_id, says, "nothing", look_at=there.remote_id)


def _ours(session: Session, things: list[Listed]) -> set[str]:
    """Return the subscriptions and references among *things* that belong to a monthly gift."""
    subscriptions = {one.parent_id for one in things if one.parent_id}
    names = {name for one in things if (name := _uuid(one.reference))}
    if not subscriptions and not names:
        return set()
    rows = session.execute(
        sa.select(RecurringGift.remote_id, RecurringGift.public_id).where(
            sa.or_(RecurringGift.remote_id.in_(subscriptions), RecurringGift.public_id.in_(names))
        )
    )
    return {str(name) for row in rows for name in row if name is not None}


def _uuid(reference: str | None) -> UUID | None:
    try:
        return UUID(reference) if reference else None
    except ValueError:
        return None


def _money(row: Any) -> str:
    return Money(row.amount_minor, row.currency).exact()
