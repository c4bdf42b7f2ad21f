"""The pages of a failed charge in a real browser, with and without scripts."""

import threading
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from donorportal.giving.models import RecurringStatus
from tests.browsing import watch
from tests.portal_in_process import Portal
from tests.recovery.months import RETRIES, Months

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


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


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_donor_tries_again_until_it_works(
    months: Months, address: str, browser: Browser, scripts: bool
) -> None:
    """From the overview to the page, a try in vain, a try that works; axe finds nothing."""
    months.fail("do_not_honor")
    cookie = months.browser().get_cookie("session")
    assert cookie is not None
    context = browser.new_context(
        java_script_enabled=scripts, viewport={"width": 360, "height": 800}
    )
    context.add_cookies([{"name": "session", "value": cookie.value, "url": address}])
    page = watch(context.new_page())
    found: list[str] = []

    def look() -> None:
        if not scripts:  # Axe is one.
            return
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            violations = Axe().run(page, options={"runOnly": _RULES}).response["violations"]
            found.extend(
                f"{scheme} {page.url}: {each['id']} {each['nodes'][0]['html']}"
                for each in violations
            )
        assert 360 == page.evaluate("document.documentElement.scrollWidth")

    page.goto(f"{address}/portal/")
    look()
    page.get_by_role("link", name="See what you can do").first.click()
    page.get_by_role("heading", name="Try the same card again").wait_for()
    look()
    page.get_by_role("button", name="Try my card now").click()
    page.get_by_role("heading", name="Your bank did not pay this time either").wait_for()
    look()
    months.let_fail(None)
    page.get_by_role("button", name="Try my card now").click()
    page.get_by_role("heading", name="Your bank paid your monthly gift").wait_for()
    look()

    assert RecurringStatus.ACTIVE == months.gift.status
    assert [] == found
    assert [] == page.bad
    context.close()


def test_the_ends_are_accessible(months: Months, address: str, browser: Browser) -> None:
    """The page of a lapsed gift, and what links say that are no longer good."""
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    cookie = months.browser().get_cookie("session")
    assert cookie is not None
    context = browser.new_context(viewport={"width": 360, "height": 800})
    context.add_cookies([{"name": "session", "value": cookie.value, "url": address}])
    page = watch(context.new_page())
    found: list[str] = []
    for path in (f"/portal/partner/{months.gift.id}/charge", "/welcome-back/abc"):
        page.goto(address + path)
        violations = Axe().run(page, options={"runOnly": _RULES}).response["violations"]
        found.extend(f"{path}: {each['id']}" for each in violations)
        assert 360 == page.evaluate("document.documentElement.scrollWidth")

    assert [] == found
    context.close()
