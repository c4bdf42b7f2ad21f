"""Giving while robots try stolen cards on the same form."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from donorportal.db import writing_session
from donorportal.giving.models import Gift
from donorportal.giving.shield import holds
from tests.journeys.walking import EMAIL, Walk
from tests.live_site import LiveSite
from tests.sandboxproc import eventually

# No number solves it, however long the browser hashes.
_IN_VAIN = """
    const digest = crypto.subtle.digest.bind(crypto.subtle);
    crypto.subtle.digest = async (...of) => {
      await digest(...of);
      return new Uint8Array(32).fill(255).buffer;
    };
"""

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


def test_the_browser_does_the_work_and_goes_on_to_pay(walk: Walk) -> None:
    """With a script nobody has to do anything: a few seconds later the payment page is there."""
    _sound_the_alarm(walk.site)

    walk.give_and_pay("50")

    assert [(5000, "usd")] == walk.charges()
    assert 1 == walk.sessions_asked()


def test_the_page_can_be_left_while_the_browser_works(walk: Walk) -> None:
    """The button works while the browser does, and the form comes back filled in."""
    _sound_the_alarm(walk.site)
    walk.page.add_init_script(_IN_VAIN)
    walk.open_form()
    walk.fill("50")
    walk.press()
    walk.page.get_by_text("Your browser is doing a small calculation.").wait_for()

    walk.page.get_by_role("button", name="Back to the form").click(timeout=2_000)

    walk.page.get_by_role("heading", name="Open a door to freedom").wait_for()
    assert EMAIL == walk.page.get_by_label("E-mail").input_value()
    assert 0 == walk.sessions_asked()


def test_without_a_script_a_code_does(scriptless: Walk) -> None:
    """The code comes by mail, a wrong one is said to be wrong, and the right one leads on."""
    _sound_the_alarm(scriptless.site)
    page = scriptless.page
    scriptless.open_form("?frequency=monthly")
    scriptless.fill("30")
    scriptless.press()
    assert page.get_by_text("Your browser is doing").is_hidden()
    page.get_by_role("button", name="E-mail me a code").click()
    page.get_by_label("Code").fill("00000000")
    page.get_by_role("button", name="Go on to payment").click()
    page.get_by_text("That code is not right").wait_for()
    page.get_by_label("Code").fill(_code(scriptless))
    page.get_by_role("button", name="Go on to payment").click()
    scriptless.at_checkout()
    assert "$30" in page.locator(".pay-amount").inner_text()
    assert 0 == scriptless.site.scalar(sa.select(sa.func.count(Gift.id)))


def _sound_the_alarm(site: LiveSite) -> None:
    with writing_session(site.engine) as session:
        holds.hold(session, holds.SITE, timedelta(hours=1), why="attempts")


def _code(walk: Walk) -> str:
    def newest() -> str:
        texts = "".join(mail["text"] for mail in walk.sandbox.mails(EMAIL))
        found = re.search(r"Your code is (\d{4} \d{4})", texts)
        return found[1] if found else ""

    return str(eventually(newest))
