"""Cards that are refused, and banks that ask."""

import sqlalchemy as sa

from donorportal.giving.models import Gift, GiftStatus
from tests.journeys.walking import CAREFUL_CARD, DECLINED_CARD, Walk


def test_another_card_works_after_one_was_declined(walk: Walk) -> None:
    """A declined card charges nothing, says so, and the next one on the same page pays."""
    walk.give("50")
    walk.pay(DECLINED_CARD)
    refusal = walk.page.get_by_role("alert").inner_text()
    charged_by_then = walk.charges()
    walk.pay()
    walk.at_thanks()

    assert "declined" in refusal
    assert "Nothing was charged" in refusal
    assert charged_by_then == []
    assert walk.charges() == [(5000, "usd")]
    assert len(walk.receipts()) == 1
    assert walk.site.rows(sa.select(Gift.status, Gift.failure)) == [(GiftStatus.RECEIVED, None)]


def test_c8_the_bank_asks_and_both_answers_are_followed(walk: Walk) -> None:
    """C8: a failed 3-D Secure charges nothing; the completed one is a gift like any other."""
    walk.give("60", "?frequency=monthly")
    walk.pay(CAREFUL_CARD)
    walk.page.get_by_role("button", name="Fail authentication").click()
    refusal = walk.page.get_by_role("alert").inner_text()
    charged_by_then = walk.charges()
    walk.pay(CAREFUL_CARD)
    walk.page.get_by_role("button", name="Complete authentication").click()
    walk.at_thanks()

    assert "Nothing was charged" in refusal
    assert charged_by_then == []
    assert walk.charges() == [(6000, "usd")]
    assert len(walk.receipts()) == 1


def test_c12_without_a_script_everything_works(scriptless: Walk) -> None:
    """C12: no script at all, with another currency, a wrong amount and a double click."""
    scriptless.open_form("?frequency=monthly")
    scriptless.page.get_by_label("Currency").select_option("GBP")
    scriptless.page.get_by_role("button", name="Update").click()
    scriptless.page.wait_for_url("**currency=GBP**")
    scriptless.fill("12.345")
    scriptless.press()
    summary = scriptless.page.locator(".notice.is-danger").inner_text()
    kept = scriptless.page.locator("#amount").input_value()
    scriptless.page.get_by_label("Other amount").fill("15")
    scriptless.take_time()
    scriptless.give_button.dblclick(no_wait_after=True)
    scriptless.at_checkout()
    scriptless.pay()
    scriptless.at_thanks()
    scriptless.sign_in()

    assert "Nothing was charged" in summary
    assert kept == "12.345"
    assert len(scriptless.sandbox.listed("checkout/sessions")) == 1
    assert scriptless.charges() == [(1500, "gbp")]
    assert "£15" in scriptless.page.locator("main").inner_text()
    assert len(scriptless.receipts()) == 1
