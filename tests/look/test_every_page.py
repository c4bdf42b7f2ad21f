"""Every page there is, looked at by axe: narrow and wide, light and dark."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyotp
import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from donorportal import clock
from donorportal.access import staff_accounts
from donorportal.access.people import Role
from donorportal.db import reading_session, writing_session
from donorportal.giving.models import Gift
from donorportal.giving.payouts.models import Payout
from donorportal.giving.reconcile.models import Difference, ReconcileRun
from donorportal.giving.shield import holds, tallies
from donorportal.giving.shield.models import Decline
from tests.live_site import LiveSite, serving
from tests.portal_in_process import settings_for
from tests.sandboxproc import SandboxProcess, eventually

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SCHEMES: dict[Literal["light", "dark"], dict[str, Any]] = {
    "light": {"type": "tag", "values": _TAGS},
    # The dark scheme is the same page in other colours.
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
_WIDTHS = (360, 1280)
_HUMAN_MILLISECONDS = 1100
_STAFF = "umber.tagus@example.org"
_DONOR = "ada.river@example.org"

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


class Looker:
    """A person who opens every page and writes down what is wrong with it."""

    def __init__(self, page: Page, live: LiveSite) -> None:
        self.page = page
        self.live = live
        self.seen: list[str] = []
        self.wrong: list[tuple[Any, ...]] = []

    def look_at(self, path: str) -> None:
        """Open a page and look at it."""
        self.page.goto(self.live.url + path)
        self.look()

    def look(self) -> None:
        """Look at the page that is open, with everything on it unfolded."""
        heading = self.page.locator("h1").first.inner_text()
        self.seen.append(heading)
        self.page.evaluate("document.querySelectorAll('details').forEach(d => (d.open = true))")
        self.page.evaluate(Axe().axe_script)
        for scheme, rules in _SCHEMES.items():
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in _WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 800})
                found = self.page.evaluate("rules => axe.run({runOnly: rules})", rules)
                self.wrong += [
                    (heading, scheme, width, each["id"], each["nodes"][0]["html"])
                    for each in found["violations"]
                ]
                wide = self.page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    self.wrong.append((heading, scheme, width, f"{wide} pixels wide"))

    def send_form(self, amount: str = "50", query: str = "") -> None:
        """Fill in the giving form and send it."""
        self.page.goto(f"{self.live.url}/give{query}")
        self.page.get_by_label("Other amount").fill(amount)
        self.page.get_by_label("E-mail").fill(_DONOR)
        self.page.wait_for_timeout(_HUMAN_MILLISECONDS)
        self.page.locator("main button.primary").click()
        self.page.wait_for_load_state()

    def enter_back_office(self) -> None:
        """Become an owner: set up the second factor of an invitation."""
        environment = {"PUBLIC_URL": self.live.url}
        settings = settings_for(str(self.live.engine.url), self.live.sandbox, **environment)
        with writing_session(self.live.engine) as session:
            invitation = staff_accounts.invite(session, settings, _STAFF, Role.OWNER, "Umber Tagus")
        self.page.goto(invitation)
        key = self.page.locator(".code").first.inner_text().replace(" ", "")
        self.page.get_by_label("Code").fill(pyotp.TOTP(key).at(int(time.time())))
        self.page.locator("main button").click()
        self.page.wait_for_url("**/staff/")

    def pay(self) -> None:
        """Pay on Stripe's page and come back."""
        self.page.locator("#number").fill("4242 4242 4242 4242")
        self.page.locator("#expiry").fill("12 / 34")
        self.page.locator("#cvc").fill("123")
        self.page.locator("button.primary").click()
        self.page.wait_for_url("**/give/thanks**")

    def mail(self, to: str, pattern: str) -> str:
        """Wait for a mail that has such a text, and return the text."""

        def newest() -> str:
            found = (re.search(pattern, mail["text"]) for mail in self.live.sandbox.mails(to))
            return next((match[1] for match in found if match), "")

        return str(eventually(newest))


@pytest.fixture
def looker(
    engine_url: str, sandbox: SandboxProcess, tmp_path: Path, browser: Browser
) -> Iterator[Looker]:
    """A live site and a browser before it."""
    context = browser.new_context()
    with serving(engine_url, sandbox, tmp_path) as live:
        yield Looker(context.new_page(), live)
        context.close()


def test_the_pages_of_giving_are_accessible(looker: Looker) -> None:
    """Home, the form in all its states, what stands in for it, and the pages of refusal."""
    for path in ("/", "/give", "/give?frequency=monthly&currency=JPY", "/nothing-here"):
        looker.look_at(path)
    looker.send_form("a lot")
    looker.look()
    looker.live.sandbox.fault("500_before", path="/v1/checkout/sessions", count=3)
    looker.send_form()
    looker.look()
    looker.send_form()
    looker.page.get_by_role("link", name="Back to the site").click()
    looker.page.get_by_text("Nothing was charged").wait_for()
    looker.look()
    looker.send_form()
    looker.pay()
    looker.look()
    looker.send_form()
    looker.look()

    assert looker.wrong == []
    assert looker.seen == [
        "Freedom, one door at a time",
        "Open a door to freedom",
        "Open a door to freedom",
        "There is nothing here",
        "Open a door to freedom",
        "The payment service does not answer",
        "Open a door to freedom",
        "Thank you",
        "Give again?",
    ]


def test_the_pages_under_attack_are_accessible(looker: Looker) -> None:
    """While robots try cards: the browser's work, the code by mail, and what staff see of it."""
    _sound_the_alarm(looker.live)
    # The work is never done, so that the page stays.
    looker.page.add_init_script("Math.clz32 = () => 0")
    looker.send_form()
    looker.page.get_by_text("Your browser is doing a small calculation.").wait_for()
    looker.look()
    looker.page.get_by_role("button", name="E-mail me a code").click()
    looker.page.get_by_label("Code").wait_for()
    looker.look()
    looker.page.get_by_label("Code").fill("00000000")
    looker.page.get_by_role("button", name="Go on to payment").click()
    looker.page.get_by_text("That code is not right").wait_for()
    looker.look()
    looker.enter_back_office()
    looker.look_at("/staff/shield")
    looker.look_at("/staff/")

    assert looker.wrong == []
    assert looker.seen == [
        "One more step",
        "Type the code",
        "Type the code",
        "Shield",
        "Back office",
    ]


def test_every_ending_of_a_gift_is_accessible(looker: Looker) -> None:
    """The thank-you page, whatever became of the gift."""
    looker.send_form()
    checkout = looker.live.scalar(sa.select(Gift.checkout_remote_id))
    looker.look_at(f"/give/thanks?cs={checkout}")
    looker.live.sandbox.fault("429", method="GET", path="/v1")
    looker.look_at(f"/give/thanks?cs={checkout}")
    for status in ("pledged", "failed", "abandoned"):
        with looker.live.engine.begin() as connection:
            connection.execute(sa.update(Gift).values(status=status))
        looker.look_at(f"/give/thanks?cs={checkout}")
    looker.look_at("/give/thanks?cs=unheard-of")
    looker.send_form(query="?frequency=monthly")
    looker.pay()
    looker.look()

    assert looker.wrong == []
    assert looker.seen == [
        "This gift is not finished",
        "We cannot see your payment yet",
        "Thank you. Your gift is on its way",
        "The payment did not go through",
        "This gift was not finished",
        "We cannot find this gift",
        "Thank you",
    ]


def test_the_pages_of_a_donor_are_accessible(looker: Looker, browser: Browser) -> None:
    """Signing in by code and by link, the portal, and signing out."""
    looker.send_form(query="?frequency=monthly")
    looker.pay()
    looker.look_at("/portal/")
    looker.page.get_by_label("E-mail").fill(_DONOR)
    looker.page.get_by_role("button", name="E-mail me a code").click()
    looker.look()
    link = looker.mail(_DONOR, r"http\S+(/sign-in/\S+)")
    stranger = Looker(browser.new_page(), looker.live)
    stranger.look_at(link)
    stranger.page.context.close()
    looker.page.get_by_label("Code").fill("00000000")
    looker.page.get_by_role("button", name="Sign in").click()
    looker.look()
    looker.look_at(link)
    looker.page.get_by_role("button", name="Sign in").click()
    looker.page.wait_for_url("**/portal/**")
    looker.look()
    for path in ("/portal/gifts", "/portal/gifts?year=1999", "/staff/", "/sign-out"):
        looker.look_at(path)
    looker.send_form(query="?frequency=monthly")
    looker.look()
    looker.page.goto(f"{looker.live.url}/sign-out")
    looker.page.get_by_role("button", name="Sign out").last.click()
    looker.look()

    assert looker.wrong + stranger.wrong == []
    assert stranger.seen == ["Go back to where you asked"]
    assert "You already give every month" in looker.seen
    assert looker.seen[-1] == "You are signed out"


def test_the_pages_of_staff_are_accessible(looker: Looker) -> None:
    """Setting up the second factor, both steps of signing in, and the back office."""
    looker.send_form()
    looker.pay()
    looker.live.finish_work()
    settings = settings_for(
        str(looker.live.engine.url), looker.live.sandbox, PUBLIC_URL=looker.live.url
    )
    with writing_session(looker.live.engine) as session:
        invitation = staff_accounts.invite(session, settings, _STAFF, Role.OWNER, "Umber Tagus")
    looker.page.goto(invitation)
    looker.look()
    key = looker.page.locator(".code").first.inner_text().replace(" ", "")
    looker.page.get_by_label("Code").fill(pyotp.TOTP(key).at(int(time.time())))
    looker.page.locator("main button").click()
    looker.page.wait_for_url("**/staff/")
    looker.look()
    for path in ("/staff/inbox", "/staff/inbox/1", "/staff/jobs", "/staff/outbox", "/staff/style"):
        looker.look_at(path)
    for path in ("?q=pi_1", "/1", "/1/refunds", "/1/refunds?how=part&amount=5&reason=Mistake"):
        looker.look_at(f"/staff/gifts{path}")
    _pay_out(looker.live)
    for path in ("", "/1", "/1?show=odd"):
        looker.look_at(f"/staff/payouts{path}")
    _differ(looker.live)
    looker.look_at("/staff/reconciliation")
    looker.page.context.clear_cookies()
    looker.look_at("/staff/")
    looker.page.get_by_label("E-mail").fill(_STAFF)
    looker.page.locator("main button").click()
    looker.look()
    looker.page.get_by_label("Code").fill(looker.mail(_STAFF, r"Your code is ([\d -]+)"))
    looker.page.locator("main button").click()
    looker.page.wait_for_url("**/staff/second-factor")
    looker.look()

    assert looker.wrong == []
    assert len(looker.seen) == 18


def _pay_out(live: LiveSite) -> None:
    """Let everything so far arrive at the bank, and its lines be read."""
    live.sandbox.post("payouts")

    def is_listed() -> bool:
        with reading_session(live.engine) as session:
            return session.scalar(sa.select(Payout.lines_minor)) is not None

    eventually(is_listed)


def _differ(live: LiveSite) -> None:
    """Let there be a comparison that found something to repair, and something for a person."""
    now = clock.now()
    sides = {"object_id": "ch_7", "expected": "$50.00 succeeded", "found": "nothing"}
    with writing_session(live.engine) as session:
        times = {"started_at": now, "pulse_at": now, "finished_at": now}
        session.add(ReconcileRun(actor="system", repairs=True, step="clearing", **times))
        for kind, state in (("payment without gift", "open"), ("foreign payment", "person")):
            session.add(Difference(kind=kind, state=state, found_at=now, **sides))


def _sound_the_alarm(live: LiveSite) -> None:
    """Let there be an attack, of which there are counts and a reason."""
    with writing_session(live.engine) as session:
        holds.hold(session, holds.SITE, timedelta(hours=1), why="declines")
        holds.hold(session, "email:x", timedelta(days=1), why="declines")
        for what in tallies.What:
            tallies.tally(session, what)
        session.add(Decline(charge_remote_id="ch_1", at=clock.now(), reason="stolen_card"))
