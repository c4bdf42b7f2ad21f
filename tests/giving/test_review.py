"""Attempts that end, are replaced or are paid twice, and payments that arrive in odd states."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from donorportal.db import reading_session, writing_session
from donorportal.giving.history import coming_gifts_of
from donorportal.giving.models import (
    Gift,
    GiftStatus,
    Receipt,
    RecurringGift,
    RecurringGiftEvent,
    RecurringStatus,
)
from donorportal.giving.settlement import Outcome, settle
from donorportal.jobs.queueing import enqueue
from donorportal.ledger.models import Entry
from donorportal.payments.gateway import (
    CheckoutRequest,
    Observation,
    OpenPage,
    Payment,
    PaymentState,
)
from donorportal.payments.stripe_gateway import StripeGateway
from donorportal.webhooks.models import EventState, InboundEvent
from tests.portal_in_process import WEBHOOK_SECRET, Portal


class _Meanwhile(StripeGateway):
    """Stripe, with something else happening just before a page is closed or opened."""

    def __init__(self, portal: Portal) -> None:
        settings = portal.settings
        super().__init__(
            settings.stripe_secret_key,
            api_base=settings.stripe_api_base,
            webhook_secrets=(WEBHOOK_SECRET,),
        )
        self.before_closing: Callable[[], Any] = lambda: None
        self.before_opening: Callable[[], Any] = lambda: None

    def expire_checkout(self, remote_id: str) -> None:
        self.before_closing()
        super().expire_checkout(remote_id)

    def open_checkout(self, request: CheckoutRequest, *, key: str) -> OpenPage:
        self.before_opening()
        return super().open_checkout(request, key=key)


def _settle(portal: Portal, seen: Observation) -> Outcome:
    with writing_session(portal.engine) as session:
        return settle(session, seen, cause="test", settings=portal.settings)


def _observed(portal: Portal, event_type: str) -> Observation:
    """Return what Stripe says about the object of the last event of a type."""
    seen = portal.gateway.observe(portal.events(event_type)[-1]["data"]["object"]["id"])
    assert seen is not None
    return seen


def _with_payment(seen: Observation, **changes: Any) -> Observation:
    return replace(seen, payment=replace(cast("Payment", seen.payment), **changes))


@pytest.mark.parametrize("by", ["webhook", "sweep"])
def test_a_monthly_attempt_that_nobody_paid_ends(portal: Portal, by: str) -> None:
    """C8: an expired page of a monthly gift leaves an abandoned attempt, and no question."""
    portal.post(frequency="monthly")
    portal.sandbox.advance(seconds=3 * 3600)
    if by == "webhook":
        portal.send_all()
    else:
        long_ago = datetime.now(UTC) - timedelta(hours=4)
        with writing_session(portal.engine) as session:
            session.execute(
                sa.update(RecurringGift).values(created_at=long_ago, checkout_asked_at=long_ago)
            )
            enqueue(session, "giving.finish_stale")
        portal.work()

    assert portal.scalars(sa.select(RecurringGift.status)) == [RecurringStatus.ABANDONED]
    assert EventState.QUARANTINED not in portal.scalars(sa.select(InboundEvent.state))


def test_closing_a_replaced_page_does_not_end_the_attempt(portal: Portal) -> None:
    """Stripe may report the old page closed before the new one is known; that one still counts."""
    gateway = _Meanwhile(portal)
    portal.app.extensions["gateway"] = gateway
    browser, form = portal.client(), portal.form(amount="50")
    browser.post("/give", data=form)
    gateway.before_opening = portal.send_all

    second = browser.post("/give", data=form | {"amount": "60"})
    landing = portal.sandbox.pay(second.location).headers["Location"]

    assert "has arrived" in portal.land(landing, browser).text


@pytest.mark.parametrize("frequency", ["once", "monthly"])
def test_a_page_paid_while_it_is_being_replaced_is_the_gift(portal: Portal, frequency: str) -> None:
    """Row 18: whoever pays in the moment of changing the amount is not led to a second page."""
    gateway = _Meanwhile(portal)
    portal.app.extensions["gateway"] = gateway
    browser, form = portal.client(), portal.form(amount="50", frequency=frequency)
    first = browser.post("/give", data=form)
    gateway.before_closing = lambda: portal.sandbox.pay(first.location)

    second = browser.post("/give", data=form | {"amount": "60"})

    assert second.location.startswith("/give/thanks?cs=")
    assert portal.rows(sa.select(Gift.status, Gift.amount_minor)) == [(GiftStatus.RECEIVED, 5000)]
    assert len(portal.sandbox.listed("checkout/sessions")) == 1


def test_a_failed_charge_is_noted_once(portal: Portal) -> None:
    """However many events tell of it, a month's declined charge is one line of the history."""
    portal.give(amount="30", frequency="monthly")
    portal.send_all()
    portal.sandbox.knobs(next_card="generic_decline")
    portal.sandbox.advance(days=32)
    for _ in range(2):
        for event in portal.events():
            portal.send(event | {"id": f"{event['id']}{_}"})
        portal.work()

    details = portal.scalars(sa.select(RecurringGiftEvent.detail))
    assert len([detail for detail in details if "failure" in detail]) == 1


def test_a_payment_that_failed_is_never_booked_for_a_paid_invoice(portal: Portal) -> None:
    """An earlier payment of an invoice that another one paid brings no money."""
    portal.give(amount="30", frequency="monthly")
    seen = _observed(portal, "invoice.paid")

    _settle(portal, _with_payment(seen, state=PaymentState.OPEN, failure="generic_decline"))

    assert portal.scalars(sa.select(Entry.id)) == []
    assert portal.scalars(sa.select(Receipt.id)) == []


def test_an_invoice_paid_without_a_payment_is_a_question(portal: Portal) -> None:
    """Money that did not come through Stripe is not booked, and a person is told."""
    portal.give(amount="30", frequency="monthly")
    seen = _observed(portal, "invoice.paid")

    outcome = _settle(portal, replace(seen, payment=None))

    assert outcome.concern is not None
    assert portal.scalars(sa.select(Entry.id)) == []


def test_row_18_a_monthly_form_paid_twice_is_a_question(portal: Portal) -> None:
    """A second subscription of one form is booked and flagged; the first one stays the gift's."""
    portal.give(amount="30", frequency="monthly")
    seen = _observed(portal, "invoice.paid")
    portal.send_all()
    (before,) = portal.scalars(sa.select(RecurringGift))
    assert seen.subscription is not None
    assert seen.invoice is not None
    second = replace(
        _with_payment(seen, remote_id="pi_second", charge_id="ch_second", fee=None),
        subscription=replace(seen.subscription, remote_id="sub_second"),
        invoice=replace(seen.invoice, remote_id="in_second", subscription_id="sub_second"),
    )

    outcome = _settle(portal, second)

    (after,) = portal.scalars(sa.select(RecurringGift))
    assert after.remote_id == before.remote_id
    assert outcome.concern is not None
    assert portal.scalars(sa.select(Gift.needs_look).order_by(Gift.id)) == [None, outcome.concern]
    portal.work()
    assert len(portal.mails("donor@example.org")) == 1


def test_a_state_we_do_not_know_costs_nobody_the_receipt(portal: Portal) -> None:
    """D8: an unknown state is a question; when the money is there, the receipt is mailed."""
    portal.give()
    seen = _observed(portal, "payment_intent.succeeded")

    odd = _with_payment(seen, state=PaymentState.UNKNOWN, remote_state="resting")
    assert "resting" in (_settle(portal, odd).concern or "")
    portal.send_all()

    assert portal.rows(sa.select(Gift.status, Gift.needs_look)) == [(GiftStatus.RECEIVED, None)]
    assert len(portal.mails("donor@example.org")) == 1


def test_an_unknown_state_of_a_subscription_is_a_question(portal: Portal) -> None:
    """D8: a monthly gift in a state that we have no word for needs a look."""
    portal.give(frequency="monthly")
    seen = _observed(portal, "customer.subscription.created")
    assert seen.subscription is not None

    outcome = _settle(
        portal, replace(seen, subscription=replace(seen.subscription, remote_state="resting"))
    )

    assert "resting" in (outcome.concern or "")
    assert portal.scalars(sa.select(RecurringGift.status)) == [RecurringStatus.UNKNOWN]


def test_a_promised_gift_is_the_donors_until_that_payment_fails(portal: Portal) -> None:
    """Row 19: the donor sees what is on its way; only its own payment can end it."""
    portal.give()
    seen = _observed(portal, "payment_intent.succeeded")

    _settle(portal, _with_payment(seen, state=PaymentState.PROCESSING))
    other = _with_payment(seen, state=PaymentState.OPEN, remote_id="pi_other", failure="declined")
    _settle(portal, other)

    (gift,) = portal.scalars(sa.select(Gift))
    assert gift.status == GiftStatus.PLEDGED
    with reading_session(portal.engine) as session:
        assert [coming.id for coming in coming_gifts_of(session, gift.donor_id)] == [gift.id]
    _settle(portal, _with_payment(seen, state=PaymentState.OPEN, failure="no funds"))
    assert portal.scalars(sa.select(Gift.status)) == [GiftStatus.FAILED]
    assert portal.scalars(sa.select(Receipt.id)) == []


def test_a_canceled_payment_of_a_replaced_page_does_not_end_the_attempt(portal: Portal) -> None:
    """Closing a page cancels its payment; the page that replaced it still counts."""
    browser, form = portal.client(), portal.form(amount="50")
    first = browser.post("/give", data=form)
    portal.sandbox.pay(first.location, card="4000000000000002")
    seen = _observed(portal, "payment_intent.payment_failed")
    browser.post("/give", data=form | {"amount": "60"})
    closed = portal.gateway.observe(
        portal.events("checkout.session.expired")[-1]["data"]["object"]["id"]
    )
    assert closed is not None

    canceled = replace(
        cast("Payment", seen.payment), state=PaymentState.CANCELED, remote_state="canceled"
    )
    _settle(portal, replace(closed, payment=canceled))
    _settle(portal, Observation(payment=canceled))

    assert portal.scalars(sa.select(Gift.status)) == [GiftStatus.STARTED]


def test_what_arrived_is_not_undone_by_what_is_said_later(portal: Portal) -> None:
    """An observation that was overtaken leaves a received gift as it is."""
    portal.give()
    seen = _observed(portal, "payment_intent.succeeded")

    for state in (PaymentState.PROCESSING, PaymentState.SUCCEEDED, PaymentState.OPEN):
        _settle(portal, _with_payment(seen, state=state))

    assert portal.scalars(sa.select(Gift.status)) == [GiftStatus.RECEIVED]
    assert len(portal.scalars(sa.select(Receipt.id))) == 1


@pytest.mark.parametrize("change", [{"frequency": "monthly"}, {"amount": "75"}])
def test_a_page_opened_for_a_form_that_was_changed_meanwhile_is_closed(
    portal: Portal, change: dict[str, str]
) -> None:
    """A slow answer from Stripe is overtaken by the donor's change of mind: one page stays open."""
    meanwhile = _Meanwhile(portal)
    portal.app.extensions["gateway"] = meanwhile
    form, pages = portal.form(), []

    def changed() -> None:
        meanwhile.before_opening = lambda: None
        pages.append(portal.client().post("/give", data=form | change).location)

    meanwhile.before_opening = changed
    overtaken = portal.client().post("/give", data=form)

    (open_page,) = [
        page for page in portal.sandbox.listed("checkout/sessions") if page["status"] == "open"
    ]
    assert [open_page["url"]] == pages
    assert "/give?again=" in overtaken.location
    assert 200 == portal.land(overtaken.location).status_code
