"""What a donor does in a browser, from the giving form to the portal."""

import re
import time
from typing import Any

from playwright.sync_api import Locator

from tests.browsing import WatchedPage
from tests.live_site import LiveSite
from tests.sandboxproc import SandboxProcess, eventually

EMAIL = "ada.river@example.org"
GOOD_CARD = "4242 4242 4242 4242"
DECLINED_CARD = "4000 0000 0000 0002"
CAREFUL_CARD = "4000 0025 0000 3155"
"""Its bank asks for 3-D Secure."""

# A form that comes back in no time was not filled in by a person, and is refused.
_HUMAN_SECONDS = 1.1


class Walk:
    """One donor with one browser page, on one site."""

    def __init__(self, page: WatchedPage, site: LiveSite) -> None:
        self.page = page
        self.site = site
        self._shown = 0.0
        page.on("domcontentloaded", self._note_time)

    @property
    def sandbox(self) -> SandboxProcess:
        """Where the donor pays, and where the mail arrives."""
        return self.site.sandbox

    @property
    def give_button(self) -> Locator:
        """The button of the giving form, or of the page that stands in for it."""
        return self.page.locator("main button.primary")

    @property
    def heading(self) -> str:
        """What the page is about."""
        return self.page.locator("h1").inner_text()

    def open_form(self, query: str = "") -> None:
        """Open the giving form."""
        self.page.goto(f"{self.site.url}/give{query}")

    def fill(self, amount: str, email: str = EMAIL, name: str = "Ada River") -> None:
        """Type an amount and who one is."""
        self.page.get_by_label("Other amount").fill(amount)
        self.page.get_by_label("E-mail").fill(email)
        self.page.locator("#name").fill(name)

    def press(self) -> None:
        """Press the button, no sooner than a person would."""
        self.take_time()
        self.give_button.click()

    def take_time(self) -> None:
        """Wait until the page was open for as long as a person needs to fill it in."""
        self.page.wait_for_timeout(max(0.0, self._shown + _HUMAN_SECONDS - time.monotonic()) * 1000)

    def give(self, amount: str, query: str = "") -> None:
        """Fill in the form and go to the page to pay on."""
        self.open_form(query)
        self.fill(amount)
        self.press()
        self.at_checkout()

    def at_checkout(self) -> None:
        """See that this is the page to pay on."""
        self.page.wait_for_url(f"{self.sandbox.url}/c/pay/**")

    def pay(self, card: str = GOOD_CARD) -> None:
        """Type a card and pay."""
        self.page.locator("#number").fill(card)
        self.page.locator("#expiry").fill("12 / 34")
        self.page.locator("#cvc").fill("123")
        self.page.locator("button.primary").click()

    def at_thanks(self) -> None:
        """See that the donor is back, and told that the gift has arrived."""
        self.page.wait_for_url(f"{self.site.url}/give/thanks?cs=**")
        assert "has arrived" in self.page.locator("main").inner_text()

    def give_and_pay(self, amount: str, query: str = "") -> None:
        """Give with a good card, all the way to the thank-you page."""
        self.give(amount, query)
        self.pay()
        self.at_thanks()

    def receipts(self, count: int = 1, email: str = EMAIL) -> list[dict[str, Any]]:
        """Wait for so many receipts and return them, newest first."""

        def arrived() -> list[dict[str, Any]]:
            return [m for m in self.sandbox.mails(email) if "receipt" in m["text"].lower()]

        eventually(lambda: len(arrived()) >= count)
        return arrived()

    def ask_for_code(self, email: str = EMAIL) -> str:
        """Ask for a code on the sign-in page and return the mail that carries it."""
        self.page.goto(f"{self.site.url}/portal/")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_role("button", name="E-mail me a code").click()
        self.page.get_by_role("heading", name="Check your e-mail").wait_for()

        def newest() -> str:
            codes = [m["text"] for m in self.sandbox.mails(email) if "Your code is" in m["text"]]
            return codes[0] if codes else ""

        return str(eventually(newest))

    def sign_in(self) -> None:
        """Sign in with the code of the mail."""
        mail = self.ask_for_code()
        found = re.search(r"Your code is ([\d -]+)", mail)
        assert found, mail
        self.page.get_by_label("Code").fill(found[1])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.site.url}/portal/")

    def charges(self) -> list[tuple[int, str]]:
        """Return amount and currency of all money that really moved, newest first."""
        return [
            (charge["amount"], charge["currency"])
            for charge in self.sandbox.listed("charges")
            if charge["paid"]
        ]

    def sessions_asked(self) -> int:
        """Return how often Stripe was asked for a page to pay on."""
        asked = self.sandbox.requests("POST", "/v1/checkout/sessions")
        return len([r for r in asked if r["path"] == "/v1/checkout/sessions"])

    def _note_time(self, _page: object) -> None:
        self._shown = time.monotonic()
