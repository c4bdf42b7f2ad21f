"""A donor changes or stops a monthly gift, against the real sandbox, on both databases."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from uuid import uuid4

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from donorportal.audit.models import AuditRecord
from donorportal.giving.models import (
    Gift,
    RecurringGift,
    RecurringGiftEvent,
    RecurringStatus,
)
from donorportal.money import Money
from tests.browsing import watch
from tests.portal_in_process import Portal, hidden

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The first try and the two that the SDK makes by itself.
_TRIES = 3


@pytest.fixture
def giver(portal: Portal) -> RecurringGift:
    """A monthly gift of $30 that began today."""
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    return row(portal)


@pytest.fixture
def browser_of_giver(portal: Portal, giver: RecurringGift) -> FlaskClient:
    """The browser of the donor who gives it."""
    return signed_in(portal, giver.donor_id)


@pytest.fixture
def address(portal: Portal) -> Iterator[str]:
    """The address of the application, served to real browsers."""
    server = make_server("127.0.0.1", 0, portal.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_shows_the_monthly_gift(
    giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """Amount, purpose, next charge, card, and the two things that can be done; links lead there."""
    page = browser_of_giver.get("/portal/partner").text
    overview = browser_of_giver.get("/portal/").text

    assert giver.next_on is not None
    for text in (
        "$30",
        "Where it is needed most",
        f"{giver.next_on:%B} {giver.next_on.day}",
        "4242",
    ):
        assert text in page
    assert f"/portal/partner/{giver.id}/amount" in page
    assert f"/portal/partner/{giver.id}/end" in page
    assert 'href="/portal/partner"' in overview


def test_a_changed_amount_is_charged_from_the_next_month_on(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """Before and after are shown, nothing is charged today, and the next renewal books the new."""
    shown = browser_of_giver.get(f"/portal/partner/{giver.id}/amount?amount=45").text
    charged_before = len(portal.sandbox.listed("charges"))
    answer = confirm(browser_of_giver, giver, "45")
    charged_today = len(portal.sandbox.listed("charges"))
    told = browser_of_giver.get(answer.location).text
    changed = row(portal)
    portal.sandbox.advance(days=32)
    portal.send_all()

    assert "$45 instead of $30" in shown
    assert "Nothing is charged today" in shown
    assert "Give $45 every month" in shown
    assert answer.status_code == 303
    assert "Your monthly gift is now $45" in told
    assert (changed.amount_minor, changed.next_on) == (4500, giver.next_on)
    assert charged_today == charged_before
    assert remote(portal)["items"]["data"][0]["price"]["unit_amount"] == 4500
    assert portal.scalars(sa.select(Gift.amount_minor).order_by(Gift.id)) == [3000, 4500]
    assert acts(portal) == [
        (f"donor:{giver.donor_id}", "change amount", f"recurring-gift:{giver.id}")
    ]
    assert causes(portal).count(("donor", RecurringStatus.ACTIVE)) == 1


def test_the_same_confirmation_sent_twice_is_one_change(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """A double click, or a page sent again, changes once and is written down once."""
    key = str(uuid4())
    answers = [confirm(browser_of_giver, giver, "45", key=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    assert len(portal.events("customer.subscription.updated")) == 1
    assert len(acts(portal)) == 1


@pytest.mark.parametrize("what", ["amount", "end"])
def test_two_clicks_at_once_are_one_act(portal: Portal, giver: RecurringGift, what: str) -> None:
    """The same form sent from two places at the same moment ends in one change, noted once."""
    clients = [signed_in(portal, giver.donor_id) for _ in range(2)]
    key = str(uuid4())
    forms = [{"csrf_token": csrf(client), "amount": "45", "key": key} for client in clients]
    with ThreadPoolExecutor(2) as pool:
        path = f"/portal/partner/{giver.id}/{what}"
        answers = list(pool.map(lambda c, f: c.post(path, data=f), clients, forms))

    assert [answer.status_code for answer in answers] == [303, 303]
    assert len(portal.events("customer.subscription")) == 2  # It began, and it changed.
    assert len(acts(portal)) == 1


def test_an_old_confirmation_does_not_undo_a_later_one(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """A form from the browser's history shows how things stand now, and changes nothing."""
    key = str(uuid4())
    confirm(browser_of_giver, giver, "45", key=key)
    confirm(browser_of_giver, giver, "60")
    old = confirm(browser_of_giver, giver, "45", key=key)
    page = browser_of_giver.get(old.location).text

    assert row(portal).amount_minor == 6000
    assert "Please look once more" in page
    assert "$45 instead of $60" in page


def test_the_amount_includes_what_covered_the_fee(portal: Portal) -> None:
    """Who covered the card fee is told that the new amount is all that will be charged."""
    portal.give(frequency="monthly", amount="30", cover_fees="1")
    portal.send_all()
    giver = row(portal)
    browser = signed_in(portal, giver.donor_id)
    shown = browser.get(f"/portal/partner/{giver.id}/amount?amount=45").text
    confirm(browser, giver, "45")

    assert f"include {Money(giver.fee_cover_minor, 'USD').text()} that you added" in shown
    assert (row(portal).amount_minor, row(portal).fee_cover_minor) == (4500, 0)


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("1", "The smallest gift we can take online is $2."),
        ("9999999", "The largest gift we can take online"),
        ("", "Please enter an amount."),
        ("10,00", "We are not sure which amount you mean"),
        ("€45", "Please enter an amount in figures"),
    ],
)
def test_an_amount_that_cannot_be_charged_is_refused(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient, amount: str, message: str
) -> None:
    """Asked for or confirmed, it is refused with the reason, and Stripe is not called."""
    asked = browser_of_giver.get(
        f"/portal/partner/{giver.id}/amount", query_string={"amount": amount}
    )
    confirmed = confirm(browser_of_giver, giver, amount)

    assert [asked.status_code, confirmed.status_code] == [422, 422]
    assert message in asked.text
    assert message in confirmed.text
    assert row(portal).amount_minor == 3000
    assert portal.sandbox.requests("POST", "/v1/subscriptions") == []


def test_the_present_amount_is_no_change(
    giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """Whoever types the amount they give already is told so."""
    answer = browser_of_giver.get(f"/portal/partner/{giver.id}/amount?amount=30")

    assert answer.status_code == 422
    assert "Your monthly gift is $30 already." in answer.text


def test_a_stopped_gift_is_not_charged_again(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """One button ends it now; the donor is thanked, and months later nothing was charged."""
    shown = browser_of_giver.get(f"/portal/partner/{giver.id}/end").text
    answer = stop(browser_of_giver, giver)
    told = browser_of_giver.get(answer.location).text
    stopped = row(portal)
    portal.sandbox.advance(days=70)
    portal.send_all()

    assert "No further charges" in shown
    assert answer.status_code == 303
    assert "Thank you for all you gave" in told
    assert "/give?frequency=monthly" not in told
    assert (stopped.status, stopped.next_on) == (RecurringStatus.ENDED, None)
    assert remote(portal)["status"] == "canceled"
    assert portal.scalars(sa.select(Gift.amount_minor)) == [3000]
    assert acts(portal) == [(f"donor:{giver.donor_id}", "stop", f"recurring-gift:{giver.id}")]
    assert causes(portal)[-1] == ("donor", RecurringStatus.ENDED)


def test_stopping_twice_is_stopping_once(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """What has ended is thanked for again; its pages lead back, and nothing is left to change."""
    answers = [stop(browser_of_giver, giver) for _ in range(2)]
    looked = browser_of_giver.get(f"/portal/partner/{giver.id}/end")
    changed = confirm(browser_of_giver, giver, "45")

    assert {answer.location for answer in (*answers, looked, changed)} == {
        f"/portal/partner?stopped={giver.id}"
    }
    assert len(acts(portal)) == 1
    assert row(portal).amount_minor == 3000


def test_what_stripe_ended_before_can_be_stopped(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient
) -> None:
    """If it ended at Stripe and we have not heard yet, stopping it is no error."""
    assert giver.remote_id is not None
    portal.gateway.end_subscription(giver.remote_id)
    answer = stop(browser_of_giver, giver)

    assert answer.status_code == 303
    assert row(portal).status == RecurringStatus.ENDED


def test_a_stopped_gift_is_not_charged_for_the_month_that_failed(portal: Portal) -> None:
    """Stopping ends the bank's retries too: the open charge is void."""
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    portal.sandbox.knobs(next_card="insufficient_funds")
    portal.sandbox.advance(days=32)
    portal.send_all()
    giver = row(portal)
    browser = signed_in(portal, giver.donor_id)
    shown = browser.get(f"/portal/partner/{giver.id}/end").text
    stop(browser, giver)
    portal.sandbox.advance(days=30)
    portal.send_all()

    assert giver.status == RecurringStatus.PAST_DUE
    assert "is not tried again" in shown
    assert sorted(invoice["status"] for invoice in portal.sandbox.listed("invoices")) == [
        "paid",
        "void",
    ]
    assert row(portal).status == RecurringStatus.ENDED
    assert portal.scalars(sa.select(Gift.amount_minor)) == [3000]


@pytest.mark.parametrize("kind", ["500_before", "429", "timeout_before"])
@pytest.mark.parametrize("what", ["amount", "end"])
def test_when_stripe_is_down_nothing_changes(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient, kind: str, what: str
) -> None:
    """The page says so with a way to try again, which then works."""
    portal.sandbox.fault(kind, path="/v1/subscriptions", count=_TRIES, seconds=0.05)
    refused = send(browser_of_giver, giver, what)
    kept = row(portal)
    portal.sandbox.knobs(faults=[])
    again = send(browser_of_giver, giver, what)

    assert refused.status_code == 503
    assert "Nothing was changed as far as we know" in refused.text
    assert f"/portal/partner/{giver.id}/{what}" in refused.text
    assert (kept.status, kept.amount_minor) == (RecurringStatus.ACTIVE, 3000)
    assert again.status_code == 303
    assert len(acts(portal)) == 1


@pytest.mark.parametrize("what", ["amount", "end"])
def test_a_lost_answer_is_caught_up_with(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient, what: str
) -> None:
    """If Stripe did it and only its answer was lost, our row follows by Stripe's own event."""
    method = "POST" if what == "amount" else "DELETE"
    portal.sandbox.fault("500_after", method=method, path="/v1/subscriptions", count=_TRIES)
    refused = send(browser_of_giver, giver, what)
    portal.sandbox.knobs(faults=[])
    portal.send_all()
    now = row(portal)

    expected = {"amount": (RecurringStatus.ACTIVE, 4500), "end": (RecurringStatus.ENDED, 3000)}
    # Ending again finds it ended, which is an answer; an amount stays uncertain.
    assert refused.status_code == {"amount": 503, "end": 303}[what]
    assert (now.status, now.amount_minor) == expected[what]


@pytest.mark.parametrize("path", ["{id}/amount", "{id}/end", "{huge}/end", "0/amount"])
def test_only_ones_own_monthly_gift_is_found(
    portal: Portal, giver: RecurringGift, path: str
) -> None:
    """Somebody else's gift is not found, read or written, like one that does not exist."""
    portal.give(email="umber.tagus@example.org")
    portal.send_all()
    (other,) = portal.scalars(sa.select(Gift.donor_id).where(Gift.recurring_gift_id.is_(None)))
    browser = signed_in(portal, other)
    where = f"/portal/partner/{path.format(id=giver.id, huge=10**20)}"
    token = csrf(browser)
    fields = {"csrf_token": token, "amount": "45", "key": str(uuid4())}

    assert browser.get(where).status_code == 404
    assert browser.post(where, data=fields).status_code == 404
    assert "$30" not in browser.get(f"/portal/partner?changed={giver.id}").text
    assert (row(portal).status, row(portal).amount_minor) == (RecurringStatus.ACTIVE, 3000)


@pytest.mark.parametrize("what", ["amount", "end"])
def test_a_form_from_elsewhere_changes_nothing(
    portal: Portal, giver: RecurringGift, browser_of_giver: FlaskClient, what: str
) -> None:
    """Without the token of this session's own page, nothing happens."""
    answer = browser_of_giver.post(f"/portal/partner/{giver.id}/{what}", data={"amount": "45"})

    assert answer.status_code == 403
    assert (row(portal).status, row(portal).amount_minor) == (RecurringStatus.ACTIVE, 3000)


def test_a_donor_without_one_is_offered_to_begin(portal: Portal) -> None:
    """The page is there for everybody who gave, and says how to begin."""
    portal.give()
    portal.send_all()
    (donor_id,) = portal.scalars(sa.select(Gift.donor_id))
    page = signed_in(portal, donor_id).get("/portal/partner").text

    assert "You have no monthly gift" in page
    assert "/give?frequency=monthly" in page


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_browser_leads_through_a_change_and_a_stop(
    address: str, browser_of_giver: FlaskClient, browser: Browser, scripts: bool
) -> None:
    """On a phone, from the overview to another amount and to the end; axe finds nothing."""
    context = browser.new_context(
        java_script_enabled=scripts, viewport={"width": 390, "height": 844}
    )
    cookie = browser_of_giver.get_cookie("session")
    assert cookie is not None
    context.add_cookies([{"name": "session", "value": cookie.value, "url": address}])
    page = watch(context.new_page())
    found: list[str] = []

    def press(role: Literal["link", "button"], name: str) -> None:
        page.get_by_role(role, name=name).click()
        if scripts:  # Axe is one.
            violations = Axe().run(page, options={"runOnly": _RULES}).response["violations"]
            found.extend(each["id"] for each in violations)
            assert page.evaluate("document.documentElement.scrollWidth") == 390

    page.goto(f"{address}/portal/")
    press("link", "Change or stop")
    press("link", "Change the amount")
    page.get_by_label("New amount each month").fill("1")
    press("button", "See what will change")
    page.get_by_label("New amount each month").fill("45")
    press("button", "See what will change")
    press("button", "Give $45 every month")
    press("link", "Stop this gift")
    press("button", "Stop giving $45 every month")

    assert page.get_by_role("heading", name="Your monthly gift has stopped").is_visible()
    assert found == []
    assert [line for line in page.bad if "422" not in line] == []
    context.close()


def signed_in(portal: Portal, donor_id: int | None) -> FlaskClient:
    """Return a browser in which this donor is signed in."""
    client = portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"donor:{donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000
    return client


def csrf(client: FlaskClient) -> str:
    """Return the token that this browser's forms carry."""
    return hidden(client.get("/portal/partner").text, "csrf_token")


def confirm(
    client: FlaskClient, giver: RecurringGift, amount: str, *, key: str | None = None
) -> TestResponse:
    """Confirm another amount."""
    fields = {"csrf_token": csrf(client), "amount": amount, "key": key or str(uuid4())}
    return client.post(f"/portal/partner/{giver.id}/amount", data=fields)


def stop(client: FlaskClient, giver: RecurringGift) -> TestResponse:
    """Press the button that stops the gift."""
    return client.post(f"/portal/partner/{giver.id}/end", data={"csrf_token": csrf(client)})


def send(client: FlaskClient, giver: RecurringGift, what: str) -> TestResponse:
    """Confirm an amount of $45, or stop."""
    return confirm(client, giver, "45") if what == "amount" else stop(client, giver)


def row(portal: Portal) -> RecurringGift:
    """Return the only monthly gift there is."""
    (found,) = portal.scalars(sa.select(RecurringGift))
    assert isinstance(found, RecurringGift)
    return found


def remote(portal: Portal) -> dict[str, Any]:
    """Return the subscription as the sandbox has it, ended or not."""
    (found,) = portal.sandbox.listed("subscriptions?status=all")
    return found


def acts(portal: Portal) -> list[Any]:
    """Return who did what, oldest first."""
    return [
        tuple(act)
        for act in portal.rows(
            sa.select(AuditRecord.actor, AuditRecord.action, AuditRecord.subject).order_by(
                AuditRecord.id
            )
        )
    ]


def causes(portal: Portal) -> list[tuple[str, str]]:
    """Return the history of the monthly gift: why, and what it was then."""
    return [
        tuple(event)
        for event in portal.rows(
            sa.select(RecurringGiftEvent.cause, RecurringGiftEvent.status).order_by(
                RecurringGiftEvent.id
            )
        )
    ]
