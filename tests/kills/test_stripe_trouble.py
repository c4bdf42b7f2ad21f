"""Stripe answers badly, or not at all: the donor is told, and trying again is one gift."""

import re
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa

from donorportal.giving.models import Gift, GiftStatus
from donorportal.jobs.models import Job, JobState
from donorportal.webhooks.models import EventState, InboundEvent
from tests.portal_in_process import Portal

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
# The first try and the two that the SDK makes by itself.
_TRIES = 3


@pytest.mark.parametrize(
    ("kind", "frequency"),
    [
        ("500_before", "once"),
        ("500_after", "once"),
        ("500_after", "monthly"),
        ("409", "once"),
        ("429", "once"),
        ("429_lock", "once"),
        ("timeout", "once"),
        ("timeout", "monthly"),
        ("timeout_before", "once"),
    ],
)
def test_trying_again_after_trouble_is_one_gift(portal: Portal, kind: str, frequency: str) -> None:
    """The page says that nothing was charged, keeps everything, and its button works."""
    portal.sandbox.fault(
        kind, method="POST", path="/v1/checkout/sessions", count=_TRIES, seconds=0.05
    )
    browser = portal.client()
    refused = portal.post(browser, frequency=frequency, topics=["stories"], name="O'Neil & Söhne")
    portal.sandbox.knobs(faults=[])
    again = browser.post("/give", data=_kept(refused.text))
    landing = portal.sandbox.pay(again.location).headers["Location"]
    thanks = portal.land(landing, browser)
    portal.send_all()

    assert refused.status_code == 503
    assert "Nothing was charged" in refused.text
    assert again.status_code == 303
    assert "has arrived" in thanks.text
    assert portal.rows(sa.select(Gift.status, Gift.name)) == [
        (GiftStatus.RECEIVED, "O'Neil & Söhne")
    ]
    assert len(_paid(portal)) == 1
    assert len(portal.mails("donor@example.org")) == 1
    payable = [s for s in portal.sandbox.listed("checkout/sessions") if s["status"] == "open"]
    # Stripe repeats a 500 for a day, so a page that it made nevertheless is never seen by anybody.
    assert len(payable) == (1 if kind == "500_after" else 0)


def test_while_stripe_is_down_every_try_is_the_same_gift(portal: Portal) -> None:
    """However often the button is pressed during an outage, there is one row and then one page."""
    portal.sandbox.fault("500_before", path="/v1/checkout/sessions", count=2 * _TRIES)
    browser = portal.client()
    first = portal.post(browser)
    second = browser.post("/give", data=_kept(first.text))
    third = browser.post("/give", data=_kept(second.text))

    assert [first.status_code, second.status_code, third.status_code] == [503, 503, 303]
    assert len(portal.rows(sa.select(Gift.id))) == 1


def test_a_page_that_could_not_be_closed_is_closed_by_the_next_try(portal: Portal) -> None:
    """A changed amount never leaves two pages open on which the donor could pay."""
    browser, form = portal.client(), portal.form(amount="50")
    first = browser.post("/give", data=form)
    portal.sandbox.fault("429", path="/v1/checkout/sessions")
    refused = browser.post("/give", data=form | {"amount": "60"})
    second = browser.post("/give", data=_kept(refused.text))

    assert [first.status_code, refused.status_code, second.status_code] == [303, 503, 303]
    sessions = portal.sandbox.listed("checkout/sessions")
    assert [(s["status"], s["amount_total"]) for s in sessions] == [
        ("open", 6000),
        ("expired", 5000),
    ]


def test_events_wait_for_stripe_to_come_back(portal: Portal) -> None:
    """Stripe tells us something and cannot be asked about it: the job fails, and later books."""
    portal.give()
    portal.sandbox.fault("429", method="GET", path="/v1", count=200)
    portal.send_all()
    waiting = portal.scalars(sa.select(InboundEvent.state))
    errors = portal.scalars(sa.select(Job.error).where(Job.state == JobState.READY))
    portal.sandbox.knobs(faults=[])
    with portal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE job SET run_at = created_at WHERE state = 'ready'"))
    portal.work()

    assert waiting.count(EventState.RECEIVED) == len(errors) > 0
    assert all("GatewayUnavailable" in error for error in errors)
    states = set(portal.scalars(sa.select(InboundEvent.state)))
    assert states == {EventState.PROCESSED, EventState.IGNORED}
    assert portal.rows(sa.select(Gift.status)) == [(GiftStatus.RECEIVED,)]
    assert len(portal.mails("donor@example.org")) == 1


def test_a_donor_back_from_paying_is_not_sent_to_pay_again(portal: Portal) -> None:
    """When Stripe cannot be asked, the page says so, asks not to pay twice, and knows it later."""
    landing = portal.give()
    portal.sandbox.fault("500_before", method="GET", path="/v1", count=_TRIES)
    unsure = portal.land(landing)
    sure = portal.land(landing)

    assert "Please do not pay again" in unsure.text
    assert "has arrived" in sure.text
    assert len(_paid(portal)) == 1


def _kept(page: str) -> dict[str, Any]:
    """Return what the button of a page sends."""
    fields: dict[str, Any] = {}
    for name, value in _HIDDEN.findall(page):
        fields.setdefault(name, []).append(unescape(value))
    return fields


def _paid(portal: Portal) -> list[dict[str, Any]]:
    return [charge for charge in portal.sandbox.listed("charges") if charge["paid"]]
