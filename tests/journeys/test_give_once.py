"""Giving once, from the home page to the portal, and the ways in which it is done twice."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from playwright.sync_api import Request

from donorportal.giving.models import Gift, GiftStatus, Receipt
from tests.journeys.walking import EMAIL, Walk
from tests.sandboxproc import eventually


def test_a_gift_ends_in_a_receipt_and_in_the_portal(walk: Walk) -> None:
    """A newcomer gives $50, gets a receipt, signs in by code and finds the gift and a table."""
    walk.page.goto(walk.site.url)
    walk.page.get_by_role("main").get_by_role("link", name="Give").first.click()
    walk.page.wait_for_url("**/give**")
    walk.fill("50")
    label = walk.give_button.inner_text()
    walk.press()
    walk.at_checkout()
    asked = walk.page.locator(".pay-amount").inner_text()
    walk.pay()
    walk.at_thanks()
    thanks = walk.page.locator("main").inner_text()

    number = walk.site.scalar(sa.select(Receipt.number))
    (receipt,) = walk.receipts()
    assert (label, asked) == ("Give $50", "$50.00")
    assert "Your gift of $50 has arrived" in thanks
    assert number in thanks
    assert number in receipt["text"]

    walk.sign_in()
    overview = walk.page.locator("main").inner_text()
    walk.page.get_by_role("link", name="All gifts").click()
    walk.page.get_by_role("heading", name="Your gifts").wait_for()
    with walk.page.expect_download() as download:
        walk.page.get_by_role("link", name="Download as CSV").click()
    assert number in overview
    assert number in walk.page.locator("table").inner_text()
    assert number in Path(download.value.path()).read_text()
    assert walk.charges() == [(5000, "usd")]


def test_c10_the_form_leads_to_the_payment_page_and_nowhere_else(walk: Walk) -> None:
    """C10: from pressing the button on, the browser asks us and Stripe's page only."""
    requests: list[Request] = []

    def note(request: Request) -> None:
        requests.append(request)

    walk.open_form()
    walk.page.on("request", note)
    walk.fill("25")
    walk.press()
    walk.at_checkout()

    ours, stripes = urlsplit(walk.site.url).netloc, urlsplit(walk.sandbox.url).netloc
    opened = [_host(request) for request in requests if request.is_navigation_request()]
    assert opened == [ours, stripes]
    assert {_host(request) for request in requests} == {ours, stripes}


def test_c1_a_double_click_is_one_gift(walk: Walk) -> None:
    """C1: two clicks and the Enter key make one page to pay on and one charge."""
    walk.open_form()
    walk.fill("40")
    walk.take_time()
    walk.give_button.dblclick(no_wait_after=True)
    walk.page.keyboard.press("Enter")
    walk.at_checkout()
    walk.page.locator("#number").fill("4242 4242 4242 4242")
    walk.page.locator("#expiry").fill("12 / 34")
    walk.page.locator("#cvc").fill("123")
    walk.page.locator("button.primary").dblclick(no_wait_after=True)
    walk.page.wait_for_url("**/give/thanks**")

    assert walk.sessions_asked() == 1
    assert walk.charges() == [(4000, "usd")]
    assert walk.site.rows(sa.select(Gift.status)) == [(GiftStatus.RECEIVED,)]


def test_c3_going_back_and_looking_again_charges_nothing(walk: Walk) -> None:
    """C3: the thank-you page can be opened again, and the old form asks before a second gift."""
    walk.give_and_pay("50")
    landing = walk.page.url
    walk.page.reload()
    walk.at_thanks()
    walk.page.go_back()
    walk.page.go_back()
    walk.page.wait_for_url("**/give")
    walk.press()
    walk.page.get_by_role("link", name="Look at the first one").click()
    walk.at_thanks()

    assert walk.page.url == landing
    assert walk.sessions_asked() == 1
    assert walk.charges() == [(5000, "usd")]
    assert len(walk.receipts()) == 1


def test_coming_back_unpaid_keeps_everything_and_charges_nothing(walk: Walk) -> None:
    """Back from the payment page all is still there; another amount replaces the page."""
    walk.open_form()
    walk.fill("75")
    walk.page.get_by_text("Cover the card fee").click()
    walk.page.get_by_label("Add the cost of the payment").check()
    walk.page.get_by_label("Stories from the field").check()
    walk.press()
    walk.at_checkout()
    first = walk.page.url
    walk.page.get_by_role("link", name="Back to the site").click()
    notice = walk.page.locator(".notice").inner_text()
    kept = [walk.page.locator(f"#{name}").input_value() for name in ("amount", "email", "name")]
    ticked = walk.page.get_by_label("Stories from the field").is_checked()
    covered = walk.page.locator("[name=cover_fees]").is_checked()
    walk.page.get_by_label("Other amount").fill("80")
    walk.page.locator("[name=cover_fees]").evaluate("box => box.click()")
    walk.press()
    walk.at_checkout()
    second = walk.page.url
    walk.pay()
    walk.at_thanks()

    assert "Nothing was charged" in notice
    assert kept == ["75", EMAIL, "Ada River"]
    assert (ticked, covered) == (True, True)
    assert first != second
    assert walk.charges() == [(8000, "usd")]


def test_c2_a_second_gift_at_once_is_asked_about(walk: Walk) -> None:
    """C2: a second form minutes later asks first, and confirming it makes a second gift."""
    walk.give_and_pay("50")
    walk.open_form()
    walk.fill("20")
    walk.press()
    walk.page.get_by_role("heading", name="Give again?").wait_for()
    question = walk.page.locator("main").inner_text()
    unconfirmed = walk.charges()
    walk.give_button.click()
    walk.at_checkout()
    walk.pay()
    walk.at_thanks()

    assert "You gave $50" in question
    assert unconfirmed == [(5000, "usd")]
    assert walk.charges() == [(2000, "usd"), (5000, "usd")]
    assert len(walk.receipts(2)) == 2


def test_when_stripe_does_not_answer_nothing_typed_is_lost(walk: Walk) -> None:
    """The donor is told that nothing was charged, and one more press goes on to pay."""
    walk.sandbox.fault("500_after", path="/v1/checkout/sessions")
    walk.open_form()
    walk.fill("50")
    walk.press()
    walk.page.get_by_role("heading", name="The payment service does not answer").wait_for()
    told = walk.page.locator("main").inner_text()
    walk.page.get_by_role("button", name="Try again").click()
    walk.at_checkout()
    walk.pay()
    walk.at_thanks()

    assert "Nothing was charged" in told
    assert walk.charges() == [(5000, "usd")]
    assert walk.site.rows(sa.select(Gift.email, Gift.status)) == [(EMAIL, GiftStatus.RECEIVED)]


@pytest.mark.parametrize("timing", ["before", "after", "never"])
def test_c7_the_thank_you_page_knows_whenever_the_webhook_comes(walk: Walk, timing: str) -> None:
    """C7: the donor is thanked at once, and the books say the same before and after the event."""
    walk.sandbox.knobs(webhook_timing=timing)
    walk.give_and_pay("50")
    number = walk.site.scalar(sa.select(Receipt.number))
    shown = walk.page.locator("main").inner_text()
    if timing == "never":
        walk.sandbox.deliver(withheld=True)
    eventually(lambda: _all_delivered(walk))
    walk.site.finish_work()

    assert number in shown
    assert walk.site.rows(sa.select(Receipt.number)) == [(number,)]
    assert walk.site.rows(sa.select(Gift.status)) == [(GiftStatus.RECEIVED,)]
    assert len(walk.receipts()) == 1


def _all_delivered(walk: Walk) -> bool:
    found = walk.sandbox.get("deliveries")
    return bool(found) and {delivery["state"] for delivery in found} == {"delivered"}


def _host(request: Request) -> str:
    return urlsplit(request.url).netloc
