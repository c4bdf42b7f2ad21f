"""The room of gifts: search, one gift, its refund with the authenticator asked again, tasks."""

import re

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from donorportal import clock
from donorportal.access.people import Role
from donorportal.audit.models import AuditRecord
from donorportal.giving.models import Gift, Receipt
from donorportal.giving.returns.models import GiftTask, Refund
from tests.access.doorstep import STAFF, Doorstep, csrf_token
from tests.portal_in_process import Portal, hidden
from tests.returns.happenings import disputed, given, refund, refund_in_dashboard, the_gift

_STEP_SECONDS = 30


@pytest.fixture
def door(portal: Portal) -> Doorstep:
    """The doors of the same application."""
    return Doorstep(portal.app, portal.settings, portal.engine)


@pytest.fixture
def finance(door: Doorstep) -> FlaskClient:
    """The browser of a colleague of finance."""
    return _colleague(door, Role.FINANCE)


def _colleague(door: Doorstep, role: Role, email: str = STAFF) -> FlaskClient:
    door.staff(email, role)
    browser = door.browser()
    door.sign_in_staff(browser, email)
    return browser


def _next_code(door: Doorstep) -> str:
    """Return the code after the one that opened the door; the app's clock may be ahead."""
    return door.authenticator().at(int(clock.now().timestamp()) + _STEP_SECONDS)


def _confirm(
    browser: FlaskClient, gift: Gift, code: str, **fields: str
) -> tuple[TestResponse, dict[str, str]]:
    """Fill in the two pages of a refund; return the answer and what was sent."""
    path = f"/staff/gifts/{gift.id}/refunds"
    asked = {"how": "part", "amount": "20", "reason": "Given by mistake"} | fields
    page = browser.get(path, query_string=asked).text
    sent = asked | {"key": hidden(page, "key"), "csrf_token": hidden(page, "csrf_token")}
    sent["code"] = code
    return browser.post(path, data=sent), sent


@pytest.mark.parametrize("by", ["email", "receipt", "payment", "charge", "refund", "dispute", "id"])
def test_a_gift_is_found_by_what_people_have_at_hand(
    portal: Portal, finance: FlaskClient, by: str
) -> None:
    """An address, a receipt number, one of Stripe's ids or our own number lead to the gift."""
    gift = given(portal)
    given(portal, email="other@example.org")
    remote_id = refund_in_dashboard(portal, gift, 100)
    dispute = disputed(portal, gift, amount=100)
    portal.send_all()
    words = {
        "email": "Donor@Example.org",
        "receipt": portal.scalars(sa.select(Receipt.number).where(Receipt.gift_id == gift.id))[
            0
        ].lower(),
        "payment": gift.payment_remote_id,
        "charge": gift.charge_remote_id,
        "refund": remote_id,
        "dispute": dispute,
        "id": str(gift.id),
    }[by]

    page = finance.get("/staff/gifts", query_string={"q": words}).text

    found = page.partition("Needs a look")[0]
    assert [str(gift.id)] == re.findall(r'href="/staff/gifts/(\d+)"', found)


def test_what_finds_nothing_says_so(portal: Portal, finance: FlaskClient) -> None:
    """Attempts that nobody paid are not gifts, and strange words are no error."""
    portal.post()

    for words in ("donor@example.org", "@", "re_", "99999999999999999999", "%", "R-26-"):
        page = finance.get("/staff/gifts", query_string={"q": words})
        assert (200, True) == (page.status_code, "No gift found" in page.text)


def test_one_page_tells_everything_about_a_gift(portal: Portal, finance: FlaskClient) -> None:
    """Facts, sums, refunds, disputes with their deadline, entries and history."""
    gift = given(portal)
    refund(portal, gift, 1000)
    portal.send_all()
    disputed(portal, the_gift(portal), amount=500)
    portal.send_all()

    page = finance.get(f"/staff/gifts/{gift.id}").text

    for text in (
        "$50.00 from Sam Example",
        f"charge:{gift.charge_remote_id}",
        f"fee:{gift.balance_remote_id}",
        "disputed:stripe",
        "a test",
        "Answer by",
        "Disputed",
        "Refund of $10.00: succeeded",
        "Dispute of $5.00: needs response",
        "Answer it in Stripe’s dashboard.",
    ):
        assert text in page
    assert 'href="https://dashboard.stripe.com' not in page, "the sandbox is not at Stripe"


def test_a_refund_is_confirmed_with_a_new_code(
    portal: Portal, finance: FlaskClient, door: Doorstep
) -> None:
    """A page says what will happen; with a fresh code the money goes back, once, in one name."""
    gift = given(portal)
    path = f"/staff/gifts/{gift.id}/refunds"
    shown = finance.get(path, query_string={"how": "part", "amount": "20", "reason": "Mistake"})
    assert "<strong>$20.00</strong> leaves our balance at Stripe now" in shown.text
    assert "The gift counts $30.00 from today on" in shown.text

    answer, sent = _confirm(finance, gift, _next_code(door))

    assert (303, f"/staff/gifts/{gift.id}") == (answer.status_code, answer.location)
    assert 2000 == the_gift(portal).refunded_minor
    (row,) = portal.scalars(sa.select(Refund))
    assert ("succeeded", "Given by mistake") == (row.status, row.reason)
    assert [(row.actor, f"gift:{gift.id}")] == portal.rows(
        sa.select(AuditRecord.actor, AuditRecord.subject).where(AuditRecord.action == "ask refund")
    )
    portal.work()
    assert "We sent $20 back to you" in [mail["subject"] for mail in portal.mails()]
    again = finance.post(path, data=sent)
    assert 422 == again.status_code, "the code is used up"
    assert 1 == len(portal.sandbox.listed("refunds"))


@pytest.mark.parametrize("code", ["", "000000", "abc"])
@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_without_the_authenticator_nothing_is_sent(
    portal: Portal, finance: FlaskClient, code: str
) -> None:
    """A computer left alone sends no money: the page comes again with what was typed."""
    gift = given(portal)

    answer, sent = _confirm(finance, gift, code)

    assert 422 == answer.status_code
    assert "That code is not good" in answer.text
    assert sent["key"] == hidden(answer.text, "key")
    assert [] == portal.scalars(sa.select(Refund))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"amount": "50.01"}, "At most $50.00 left to refund."),
        ({"amount": "0"}, "At most $50.00 left to refund."),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e9"}, "amount"),
        ({"reason": " "}, "Please say why"),
        ({"reason": "x" * 201}, "at most 200"),
    ],
)
@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_e6_a_wrong_amount_is_said_before_anything_is_asked(
    portal: Portal, finance: FlaskClient, fields: dict[str, str], message: str
) -> None:
    """More than is left, nothing, nonsense or no reason: 422, and nothing typed is lost."""
    gift = given(portal)
    asked = {"how": "part", "amount": "20", "reason": "Mistake"} | fields

    answer = finance.get(f"/staff/gifts/{gift.id}/refunds", query_string=asked)

    assert 422 == answer.status_code
    assert message in answer.text
    assert [] == portal.scalars(sa.select(Refund))


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_what_stripe_refuses_is_said(portal: Portal, finance: FlaskClient, door: Doorstep) -> None:
    """Refunded in the dashboard in the meantime: a conflict with Stripe's reason, and no loss."""
    gift = given(portal)
    refund_in_dashboard(portal, gift, 5000)

    answer, _sent = _confirm(finance, gift, _next_code(door))

    assert 409 == answer.status_code
    assert "charge_already_refunded" in answer.text
    portal.send_all()
    assert 5000 == the_gift(portal).refunded_minor


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_when_stripe_does_not_answer_the_refund_goes_on_by_itself(
    portal: Portal, finance: FlaskClient, door: Doorstep
) -> None:
    """The gift's page says that it was asked; nobody has to do it again."""
    gift = given(portal)
    portal.sandbox.fault("500_before", method="POST", path="/v1/refunds", count=4)

    answer, _sent = _confirm(finance, gift, _next_code(door))

    assert 303 == answer.status_code
    assert "Stripe has not answered yet" in finance.get(answer.location).text


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_support_sees_gifts_and_refunds_nothing(portal: Portal, door: Doorstep) -> None:
    """No button, and no way past it."""
    browser = _colleague(door, Role.SUPPORT)
    gift = given(portal)

    assert "Refund…" not in browser.get(f"/staff/gifts/{gift.id}").text
    assert 403 == browser.get(f"/staff/gifts/{gift.id}/refunds").status_code


def test_a_task_is_settled_with_a_note(portal: Portal, finance: FlaskClient) -> None:
    """It leaves the list, and stays in the gift's history and in the audit trail."""
    gift = given(portal)
    disputed(portal, gift)
    portal.send_all()
    (task_id,) = portal.scalars(sa.select(GiftTask.id))
    assert "disputes $50.00" in finance.get("/staff/gifts").text

    _settle(finance, gift, str(task_id), "Sent the evidence.")

    assert "Nothing needs a look" in finance.get("/staff/gifts").text
    assert "Sent the evidence." in finance.get(f"/staff/gifts/{gift.id}").text
    assert 1 == len(
        portal.scalars(sa.select(AuditRecord.id).where(AuditRecord.action == "settle task"))
    )


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_gift_that_asked_for_a_look_is_looked_at(portal: Portal, finance: FlaskClient) -> None:
    """The gift's own note is a task like the others."""
    gift = given(portal)
    with portal.engine.begin() as connection:
        connection.execute(sa.update(Gift).values(needs_look="Paid twice?"))
    assert "Paid twice?" in finance.get("/staff/gifts").text

    _settle(finance, gift, "look", "Asked the donor: both were meant.")

    assert "Nothing needs a look" in finance.get("/staff/gifts").text
    assert [None] == portal.scalars(sa.select(Gift.needs_look))
    assert "both were meant" in finance.get(f"/staff/gifts/{gift.id}").text


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_what_a_donor_typed_is_text_on_every_page(portal: Portal, finance: FlaskClient) -> None:
    """A name with markup does nothing."""
    gift = given(portal, name="<img src=x onerror=alert(1)>{{7*7}}")

    for path in (f"/staff/gifts/{gift.id}", "/staff/gifts?q=donor@example.org"):
        page = finance.get(path).text
        assert "<img src=x" not in page
        assert "{{7*7}}" in page


def _settle(browser: FlaskClient, gift: Gift, task: str, words: str) -> None:
    path = f"/staff/gifts/{gift.id}"
    fields = {"task": task, "note": words, "csrf_token": csrf_token(browser, path)}
    assert 303 == browser.post(f"{path}/tasks", data=fields).status_code
