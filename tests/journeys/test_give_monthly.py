"""Giving every month: the first charge, the next one, and a second start by mistake."""

import re

import sqlalchemy as sa

from donorportal.giving.models import Gift, RecurringGift, RecurringStatus
from tests.journeys.walking import Walk


def test_a_monthly_gift_goes_on_by_itself(walk: Walk) -> None:
    """A donor becomes a partner, signs in by the link, and a month later there are two gifts."""
    walk.open_form()
    walk.page.get_by_role("radio", name="Every month").check()
    walk.fill("30")
    label = walk.give_button.inner_text()
    walk.press()
    walk.at_checkout()
    asked = walk.page.locator(".pay-title").inner_text()
    walk.pay()
    walk.at_thanks()
    next_on = walk.page.get_by_text("Next charge").count()

    assert label == "Give $30 every month"
    assert "every month" in asked
    assert next_on == 1
    assert "your monthly gift of $30" in walk.receipts()[0]["text"]

    found = re.search(r"http\S+/sign-in/\S+", walk.ask_for_code())
    assert found
    walk.page.goto(found[0])
    walk.page.get_by_role("button", name="Sign in").click()
    walk.page.wait_for_url("**/portal/**")
    card = walk.page.locator(".card", has_text="Monthly gift").inner_text()
    assert "$30" in card
    assert "Active" in card

    walk.sandbox.advance(days=32)
    walk.receipts(2)
    walk.page.goto(f"{walk.site.url}/portal/gifts")

    assert walk.page.locator("tbody tr").count() == 2
    assert walk.charges() == [(3000, "usd"), (3000, "usd")]
    assert walk.site.scalar(sa.select(sa.func.count(Gift.id))) == 2
    assert walk.site.rows(sa.select(RecurringGift.status)) == [(RecurringStatus.ACTIVE,)]


def test_a_partner_who_starts_again_is_told_and_may_give_once(walk: Walk) -> None:
    """Signed in with a monthly gift, a second one is asked about, and once is one click away."""
    walk.give_and_pay("30", "?frequency=monthly")
    walk.receipts()
    walk.sign_in()
    walk.open_form("?frequency=monthly")
    walk.fill("45")
    walk.press()
    walk.page.get_by_role("heading", name="You already give every month").wait_for()
    told = walk.page.locator("main").inner_text()
    walk.page.get_by_role("button", name="Give once instead").click()
    if walk.heading == "Give again?":
        walk.give_button.click()
    walk.at_checkout()
    walk.pay()
    walk.at_thanks()

    assert "Nothing was charged just now" in told
    assert "$30" in told
    assert walk.charges() == [(4500, "usd"), (3000, "usd")]
    assert walk.site.scalar(sa.select(sa.func.count(RecurringGift.id))) == 1
