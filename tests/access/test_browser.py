"""Signing in with a real browser, and the scanner that only looks."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from donorportal import clock
from donorportal.access import staff_accounts
from donorportal.access.people import Realm, Role
from donorportal.db import writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.webhooks.models import InboundEvent
from tests.access.doorstep import DONOR, STAFF, Doorstep
from tests.browsing import watch

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture
def address(doorstep: Doorstep) -> Iterator[str]:
    """The address of the application, served to real browsers."""
    server = make_server("127.0.0.1", 0, doorstep.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_f4_a_browser_that_only_looks_changes_nothing(
    doorstep: Doorstep, address: str, browser: Browser, scripts: bool
) -> None:
    """A scanner that opens the link in a browser leaves it good; the donor's own button uses it."""
    doorstep.donor()
    donor = browser.new_context(java_script_enabled=scripts)
    page = watch(donor.new_page())
    page.goto(f"{address}/portal/gifts")
    page.get_by_label("E-mail").fill(DONOR)
    page.get_by_role("button", name="E-mail me a code").click()
    page.wait_for_url("**/sign-in/code")
    link = address + doorstep.link()

    scanner = browser.new_context()
    looking = scanner.new_page()
    looking.goto(link)
    looking.wait_for_load_state("networkidle")
    assert looking.get_by_role("heading", name="Go back to where you asked").is_visible()
    looking.goto(f"{address}/portal/")
    assert looking.url.startswith(f"{address}/sign-in?")
    assert doorstep.newest().used_at is None

    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/portal/gifts")

    assert page.bad == []
    scanner.close()
    donor.close()


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_the_pages_are_accessible(doorstep: Doorstep, address: str, browser: Browser) -> None:
    """An axe run finds nothing to object to on any page of the two doors and of the back office."""
    doorstep.donor()
    doorstep.staff()
    with writing_session(doorstep.engine) as session:
        session.execute(
            sa.insert(InboundEvent).values(
                event_id="evt_1",
                type="charge.succeeded",
                payload='{"id": "evt_1"}',
                livemode=False,
                received_at=clock.now(),
            )
        )
        session.execute(sa.update(Job).values(state=JobState.DEAD, error="The relay is away."))
        link = staff_accounts.invite(session, doorstep.settings, "new@example.org", Role.EDITOR)
    client = doorstep.browser()
    doorstep.sign_in_staff(client)
    half = doorstep.browser()
    doorstep.sign_in(half, STAFF, Realm.STAFF)
    asking = doorstep.browser()
    doorstep.ask(asking)
    pages = {
        client: ("", "inbox", "inbox/1", "jobs", "jobs?state=done", "outbox", "style"),
        half: ("second-factor", link.rpartition("/staff/")[2]),
        asking: ("../sign-in/code", f"..{doorstep.link()}"),
        doorstep.browser(): (f"..{doorstep.link()}", "../sign-out", "sign-in"),
    }
    found = {}
    for visitor, paths in pages.items():
        context = browser.new_context()
        context.add_cookies(
            [
                {"name": name, "value": each.value, "url": address}
                for name in ("session", "asked")
                if (each := visitor.get_cookie(name))
            ]
        )
        page = watch(context.new_page())
        for path in paths:
            page.goto(f"{address}/staff/{path}")
            violations = Axe().run(page, options={"runOnly": _RULES}).response["violations"]
            found[path] = [violation["id"] for violation in violations]
        context.close()

    assert {path: bad for path, bad in found.items() if bad} == {}


def test_staff_sign_in_with_both_steps(doorstep: Doorstep, address: str, browser: Browser) -> None:
    """A colleague types the mail's code and the app's, sees the queues, and signs out."""
    doorstep.staff()
    context = browser.new_context()
    page = watch(context.new_page())
    page.goto(f"{address}/staff/jobs")
    page.get_by_label("Work e-mail").fill(STAFF)
    page.get_by_role("button", name="E-mail me a code").click()
    page.get_by_label("Code").fill(doorstep.code())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(doorstep.authenticator().now())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/staff/jobs")
    assert page.get_by_role("cell", name="access.mail_sign_in").first.is_visible()

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-out")
    page.goto(f"{address}/staff/")

    assert page.url.startswith(f"{address}/staff/sign-in?")
    assert page.bad == []
    context.close()
