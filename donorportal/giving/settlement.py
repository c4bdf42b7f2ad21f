"""Bringing our books in line with what the payment service says now.

Webhooks, the thank-you page, the sweep of stale gifts and reconciliation all end here. Applying
the same observation again changes nothing, and observations may come in any order: what counts is
what is true at the payment service, not which message told us.
"""

from dataclasses import dataclass
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.donors.addresses import parse_email
from donorportal.donors.matching import find_or_create
from donorportal.giving import receipts, recurring
from donorportal.giving.clearing import post_costs
from donorportal.giving.events import abandon_closed, note
from donorportal.giving.models import Gift, GiftStatus, RecurringGift, RecurringStatus
from donorportal.giving.partner import cards as left_cards
from donorportal.giving.payouts.settling import settle_payout
from donorportal.giving.recovery import cards, charges
from donorportal.giving.returns import telling, warnings
from donorportal.giving.returns.settling import apply_returns
from donorportal.giving.shield import declining
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.payments.gateway import Invoice, Observation, Payment, PaymentState
from donorportal.updates import consents

_NOT_MOVED = {PaymentState.OPEN, PaymentState.CANCELED}
_ASKED = (
    "fee_cover_minor",
    "email",
    "name",
    "tribute_type",
    "tribute_name",
    "campaign",
    "story",
    "designation_code",
    "checkout_asked_at",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What applying an observation came to.

    Attributes:
        concern: Why a person should look, or None when all is well.

    """

    concern: str | None = None


def settle(session: Session, seen: Observation, *, cause: str, settings: Settings) -> Outcome:
    """Converge our rows to *seen* and say whether a person should look."""
    for thing in (
        seen.checkout,
        seen.payment,
        seen.invoice,
        seen.subscription,
        seen.payout,
        seen.saved_card,
        seen.set_up,
    ):
        if thing is not None and thing.livemode != settings.livemode:
            return Outcome("test and live mode are mixed up")
    if seen.payout is not None:
        settle_payout(session, seen.payout, settings=settings)
        return Outcome()
    if seen.saved_card is not None:
        cards.follow(session, seen.saved_card, cause=cause)
        return Outcome()
    if seen.set_up is not None:
        left_cards.take(session, seen.set_up)
        return Outcome()
    declining.note(session, seen, settings=settings)
    if seen.subscription is not None or (seen.checkout and seen.checkout.monthly):
        return _settle_recurring(session, seen, cause, settings)
    return _settle_once(session, seen, cause, settings)


def _settle_recurring(
    session: Session, seen: Observation, cause: str, settings: Settings
) -> Outcome:
    giver = recurring.converge(session, seen, cause=cause, settings=settings)
    if giver is None:
        return Outcome("a subscription that no monthly gift of ours started")
    charges.follow(session, giver, seen, cause=cause)
    concern = None
    if giver.status == RecurringStatus.UNKNOWN:
        concern = f"Stripe reports a state we do not know: {giver.remote_status}"
    if seen.invoice is None:
        return Outcome(concern)
    if seen.invoice.left_out:
        recurring.note_left_out(session, giver, seen.invoice, cause=cause, settings=settings)
        return Outcome(concern)
    if seen.payment is None:
        return Outcome("an invoice was paid without a payment" if seen.invoice.paid else concern)
    if not seen.invoice.paid or not seen.payment.arrived:
        recurring.note_failed_charge(session, giver, seen.invoice, seen.payment, cause=cause)
        return Outcome(concern)
    gift = _gift_of_invoice(session, giver, seen.invoice)
    booked = _receive(session, gift, seen.payment, cause=cause, settings=settings, giver=giver)
    _heed(session, gift, seen, cause, settings)
    return Outcome(booked.concern or concern)


def _settle_once(session: Session, seen: Observation, cause: str, settings: Settings) -> Outcome:
    gift = _lock(session, seen.reference) if seen.reference else None
    if gift is None:
        # A card was declined on the page of a monthly gift: no money moved, and the payment does
        # not know yet what it is for.
        tried = seen.payment is not None and seen.payment.state in _NOT_MOVED
        return Outcome(None if tried else "a payment that no gift of ours started")
    if seen.payment is None:
        abandon_closed(session, gift, seen.checkout, cause=cause)
        return Outcome()
    if seen.payment.arrived:
        gift = _gift_of_payment(session, gift, seen.payment)
        booked = _receive(session, gift, seen.payment, cause=cause, settings=settings, giver=None)
        _heed(session, gift, seen, cause, settings)
        return booked
    return _follow_payment(session, gift, seen, seen.payment, cause, settings)


def _lock(session: Session, reference: UUID) -> Gift | None:
    return session.scalar(sa.select(Gift).where(Gift.public_id == reference).with_for_update())


def _gift_of_invoice(session: Session, giver: RecurringGift, invoice: Invoice) -> Gift:
    """Return this month's gift; the recurring gift is locked, so nobody else creates it."""
    gift = session.scalar(
        sa.select(Gift).where(Gift.invoice_remote_id == invoice.remote_id).with_for_update()
    )
    if gift is None:
        gift = _copy(giver, recurring_gift_id=giver.id, invoice_remote_id=invoice.remote_id)
        gift.amount_minor = invoice.amount.minor
        gift.currency = invoice.amount.currency
        gift.fee_cover_minor = min(giver.fee_cover_minor, gift.amount_minor - 1)
        if invoice.subscription_id != giver.remote_id:
            gift.needs_look = "The same form started two monthly gifts. Is one to be ended?"
        session.add(gift)
        session.flush()  # Its id is needed for the history.
    return gift


def _gift_of_payment(session: Session, gift: Gift, payment: Payment) -> Gift:
    """Return the gift that *payment* is for.

    Two pages of one gift can both be paid. The money of the second is real, so it becomes a gift
    of its own that a person should look at: a refund may be due.
    """
    if gift.payment_remote_id in {None, payment.remote_id} or gift.status != GiftStatus.RECEIVED:
        return gift
    second = session.scalar(
        sa.select(Gift).where(Gift.payment_remote_id == payment.remote_id).with_for_update()
    )
    if second is None:
        second = _copy(gift, needs_look="The same form was paid twice. Is a refund due?")
        second.amount_minor = payment.amount.minor
        second.currency = payment.amount.currency
        session.add(second)
        session.flush()  # Its id is needed for the history.
    return second


def _copy(asked: Gift | RecurringGift, **columns: object) -> Gift:
    """Return a new gift with everything that was asked for, under names of its own."""
    kept = {name: getattr(asked, name) for name in _ASKED}
    return Gift(
        public_id=uuid4(),
        key=uuid4(),
        status=GiftStatus.STARTED,
        created_at=clock.now(),
        consents={},
        **kept,
        **columns,
    )


def _receive(
    session: Session,
    gift: Gift,
    payment: Payment,
    *,
    cause: str,
    settings: Settings,
    giver: RecurringGift | None,
) -> Outcome:
    """Book a gift whose money is there: status, ledger, receipt, mail, all or nothing."""
    if payment.charge_id is None or payment.charged_at is None:
        return Outcome("a payment succeeded without a charge")
    if gift.status != GiftStatus.RECEIVED:
        _book(session, gift, payment, cause, settings)
        receipt = receipts.issue(session, gift)
        if gift.needs_look is None and payment.state is PaymentState.SUCCEEDED:
            also = recurring.active_of(session, giver.donor_id, besides=giver) if giver else None
            receipts.mail(
                session, gift, receipt, recurring=giver, also_monthly=also, settings=settings
            )
        consents.record(
            session,
            email=gift.email,
            given=(giver or gift).consents,
            source=f"giving form, {giver.public_id if giver else gift.public_id}",
        )
    if payment.fee is not None:
        gift.balance_remote_id = payment.fee.transaction_id
        post_costs(session, gift, gift.amount, payment.fee, on=receipts.day_of(gift))
    returned = apply_returns(session, gift, payment, cause=cause, settings=settings)
    return Outcome(gift.needs_look or returned)


def _heed(session: Session, gift: Gift, seen: Observation, cause: str, settings: Settings) -> None:
    """Keep a warning of fraud about a gift that was received."""
    if seen.warning is not None and gift.status == GiftStatus.RECEIVED:
        warnings.warn(session, gift, seen.warning, cause=cause, settings=settings)


def _book(session: Session, gift: Gift, payment: Payment, cause: str, settings: Settings) -> None:
    """Write what the payment service says happened, even where it is not what we expected."""
    if payment.amount != gift.amount:
        gift.needs_look = f"We asked for {gift.amount.exact()}, {payment.amount.exact()} was paid."
        gift.amount_minor, gift.currency = payment.amount.minor, payment.amount.currency
        gift.fee_cover_minor = 0
    charged_at = payment.charged_at or clock.now()
    gift.donor_id = find_or_create(session, parse_email(gift.email), gift.name)
    gift.status = GiftStatus.RECEIVED
    gift.payment_remote_id = payment.remote_id
    gift.charge_remote_id = payment.charge_id
    gift.given_on = clock.local_date(charged_at, settings.organisation.time_zone)
    gift.given_on_basis = "charged"
    gift.received_at = charged_at
    gift.card_brand, gift.card_last4 = payment.card_brand, payment.card_last4
    gift.failure = None
    gift.balance_remote_id = payment.fee.transaction_id if payment.fee else None
    gift.origin = {}
    session.flush()  # The receipt and the ledger refer to the gift as it is now.
    note(session, Gift, gift.id, GiftStatus.RECEIVED, cause=cause, charge=payment.charge_id)
    post(
        session,
        source=f"charge:{payment.charge_id}",
        effective_on=gift.given_on,
        lines=move(
            gift.amount, debit=accounts.CLEARING, credit=accounts.gifts(gift.designation_code)
        ),
        detail={"gift": gift.id},
    )


def _follow_payment(  # noqa: PLR0917 - one step of the above
    session: Session,
    gift: Gift,
    seen: Observation,
    payment: Payment,
    cause: str,
    settings: Settings,
) -> Outcome:
    """Keep what we know about money that is not there yet, or that will not come."""
    if payment.state is PaymentState.UNKNOWN:
        return Outcome(f"Stripe reports a state we do not know: {payment.remote_state}")
    other = gift.status == GiftStatus.PLEDGED and gift.payment_remote_id != payment.remote_id
    if other or gift.status == GiftStatus.RECEIVED:
        return Outcome()
    status = _status_of(gift, payment)
    if status == GiftStatus.PLEDGED:
        gift.payment_remote_id = payment.remote_id
        gift.donor_id = find_or_create(session, parse_email(gift.email), gift.name)
    if status == GiftStatus.FAILED and gift.status == GiftStatus.PLEDGED:
        telling.never_came(session, gift, settings)
    if (status, payment.failure) != (gift.status, gift.failure):
        gift.status, gift.failure = status, payment.failure
        note(session, Gift, gift.id, status, cause=cause, failure=payment.failure)
    abandon_closed(session, gift, seen.checkout, cause=cause)
    return Outcome()


def _status_of(gift: Gift, payment: Payment) -> GiftStatus:
    """Return what a payment without money makes of the gift.

    One that was canceled ends nothing by itself: its page closed, perhaps to be replaced.
    """
    if payment.state is PaymentState.PROCESSING:
        return GiftStatus.PLEDGED
    return GiftStatus.FAILED if gift.status == GiftStatus.PLEDGED else GiftStatus(gift.status)
