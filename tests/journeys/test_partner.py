"""Every change of a monthly gift, walked in a browser: with a script, and without any."""

import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from donorportal.giving.models import RecurringGift
from donorportal.giving.partner.models import RecurringChange
from tests.journeys.walking import Walk

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PHONE_WIDTH = 390

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


class Path:
    """A donor's way through the pages; with a script, each page is looked at by axe."""

    def __init__(self, walk: Walk, *, scripts: bool) -> None:
        self.walk, self.page, self.scripts = walk, walk.page, scripts
        self.wrong: list[tuple[str, str]] = []

    def press(self, name: str, role: str = "button") -> None:
        """Press a button, or follow a link, and look at where it leads."""
        target = self.page.get_by_role("link" if role == "link" else "button", name=name)
        target.first.click()
        self.page.wait_for_load_state()
        if self.scripts:
            self._look(self.page)

    def choose(self, name: str) -> None:
        """Begin a change on the page where everything begins."""
        self.page.goto(f"{self.walk.site.url}/portal/partner")
        self.press(name, "link")

    def lands_on(self, title: str) -> None:
        """See what came of it."""
        self.page.get_by_role("heading", name=title).wait_for()

    def _look(self, page: Page) -> None:
        found = Axe().run(page, options={"runOnly": _RULES}).response["violations"]
        self.wrong += [(self.walk.heading, each["id"]) for each in found]
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > _PHONE_WIDTH:
            self.wrong.append((self.walk.heading, f"{wide} pixels wide"))


def test_a_donor_steers_the_monthly_gift(walk: Walk) -> None:
    """All nine changes on a phone; axe finds nothing, and every one is done and mailed."""
    steer(walk, scripts=True)


def test_without_a_script_every_change_works(scriptless: Walk) -> None:
    """The same way with no script at all."""
    steer(scriptless, scripts=False)


def steer(walk: Walk, *, scripts: bool) -> None:
    """Become a partner, make every change, and stop."""
    walk.give_and_pay("30", "?frequency=monthly")
    walk.sign_in()
    path = Path(walk, scripts=scripts)
    change_the_gift(path)
    change_the_card(path)
    leave_out_and_stop(path)
    walk.page.get_by_text("What happened so far").click()
    told = walk.page.locator(".timeline").inner_text()

    assert path.wrong == []
    assert "You changed the amount from $30 to $45." in told
    assert "You stopped your monthly gift." in told
    states = walk.site.rows(sa.select(RecurringChange.action, RecurringChange.state))
    assert [(action, "done") for action, _ in states] == [tuple(row) for row in states]
    assert len(states) == 8


def change_the_gift(path: Path) -> None:
    """Another amount, after one that is too small; another purpose; another day."""
    path.choose("Change the amount")
    path.page.get_by_label("New amount each month").fill("1")
    path.press("See what will happen")
    path.page.get_by_label("New amount each month").fill("45")
    path.press("See what will happen")
    assert path.page.locator("tbody tr", has_text="$45").count() == 3
    path.press("Give $45 every month")
    path.lands_on("Your monthly gift is now $45")
    path.choose("Change what it is for")
    path.page.get_by_label("Rescue").check()
    path.press("See what will happen")
    path.press("Change what my gift is for")
    path.lands_on("Your monthly gift is now for: Rescue")
    path.choose("Change the day")
    path.page.get_by_label("Day of the month").select_option("5")
    path.press("See what will happen")
    path.press("Give on the 5th of each month")
    path.lands_on("Your monthly gift is now charged on the 5th")


def change_the_card(path: Path) -> None:
    """Another card, typed on Stripe's page."""
    path.choose("Change the card")
    path.press("Go to Stripe's page")
    path.walk.at_checkout()
    path.walk.pay("5555 5555 5555 4444")
    path.lands_on("Your monthly gift has a new card, ending in 4444")


def leave_out_and_stop(path: Path) -> None:
    """Skip, go on, pause, stop."""
    path.choose("Skip the next gift")
    path.press("Skip the gift of")
    path.lands_on("is skipped")
    path.choose("End the pause")
    path.press("Go on giving $45 every month")
    path.lands_on("Your monthly gift goes on")
    path.choose("Pause")
    path.page.get_by_label("goes on by itself on").select_option(index=2)
    path.press("See what will happen")
    path.press("Pause until")
    path.lands_on("Your monthly gift is paused until")
    path.choose("Stop this gift")
    path.press("Stop giving $45 every month")
    path.lands_on("Your monthly gift has stopped")


def test_a_monthly_gift_by_mistake_becomes_a_single_one(walk: Walk) -> None:
    """Two clicks from the page of the monthly gift, and nothing more is ever charged."""
    walk.give_and_pay("30", "?frequency=monthly")
    walk.sign_in()
    path = Path(walk, scripts=True)
    path.choose("I meant to give once")
    shown = walk.page.locator("main").inner_text()
    path.press("Make it a single gift")
    path.lands_on("Your monthly gift is now a single gift")

    assert "You keep your gift of $30" in shown
    assert path.wrong == []
    assert walk.site.rows(sa.select(RecurringGift.status)) == [("ended",)]
