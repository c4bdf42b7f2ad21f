"""The mailbox and the authenticator in a real Chromium."""

import threading
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask, request
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from donorportal.sandbox.mailbox import Mailbox
from tests.browsing import WatchedPage
from tests.sandbox_mail.filling import Stripe, fill_the_panel

CARD_OR_BANK = {
    "allowed_payment_method_types[0]": "card",
    "allowed_payment_method_types[1]": "us_bank_account",
}
HOSTILE = """<!doctype html><html lang="en"><head><title>Hello</title>
<meta http-equiv="refresh" content="0; url=/leak/refresh"></head><body>
<a href="/authenticator">Read more</a><img src="/leak/picture" alt="">
<form action="/leak/form"><button type="submit">Send</button></form>
<script>top.document.title = "broken out"; fetch("/leak/script")</script>
<iframe src="/leak/frame" title="inner"></iframe></body></html>"""


@pytest.fixture
def asked() -> list[str]:
    """Collect the paths that were asked for."""
    return []


@pytest.fixture
def site(app: Flask, asked: list[str]) -> Iterator[str]:
    """Serve the pages over HTTP under a strict policy, as the sandbox does."""

    @app.before_request
    def note() -> None:
        asked.append(request.path)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_donor_pays_without_javascript(browser: Browser, site: str, stripe: Stripe) -> None:
    """A declined card, then a test card filled in by its link, lead back to the site."""
    thanks = f"{site}/authenticator"
    path = stripe.checkout("payment", 5000, submit_type="donate", success_url=thanks)
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800})
    page = context.new_page()
    page.goto(site + path)

    page.get_by_text("All test cards").click()
    page.get_by_role("link", name="Use 4000 0000 0000 0002").click()
    page.get_by_role("button", name="Donate $50.00").click()
    declined = page.get_by_role("alert").inner_text()
    page.get_by_role("link", name="Fill in the card that succeeds").click()
    page.get_by_role("button", name="Donate $50.00").click()

    assert "Your card was declined." in declined
    assert "Nothing was charged." in declined
    assert page.url == thanks
    context.close()


def test_a_bank_debit_asks_for_no_card(page: WatchedPage, site: str, stripe: Stripe) -> None:
    """Choosing the bank hides the fields that only describe a card."""
    page.goto(site + stripe.checkout("payment", 5000, **CARD_OR_BANK))
    assert page.get_by_label("Card number").is_visible()

    page.get_by_label("US bank account").check()

    assert page.get_by_label("Card number").is_hidden()


@pytest.fixture
def every_page(mailbox: Mailbox, letter: EmailMessage, stripe: Stripe) -> list[str]:
    """Fill the sandbox, and list the paths of all its pages in their different states."""
    message_id = mailbox.add("a@charity.example", ["ann@example.org"], bytes(letter))
    asking = stripe.checkout("payment", 700)
    stripe.pay(asking, "4000002500003155")
    paid = stripe.checkout("payment", 700)
    stripe.pay(paid)
    fill_the_panel(stripe)
    return [
        "/mail/",
        "/mail/?to=nobody",
        *(f"/mail/{message_id}?view={view}" for view in ("html", "text", "source")),
        "/authenticator",
        stripe.checkout("payment", 5000, **CARD_OR_BANK),
        f"{stripe.checkout('subscription', 3000)}?card=4242424242424242",
        f"{asking}/3ds",
        paid,
        "/c/pay/unknown",
        "/_sandbox",
    ]


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "light"), (360, "dark"), (768, "dark"), (1280, "light")]
)
def test_no_page_has_a_barrier(
    browser: Browser, site: str, every_page: list[str], width: int, scheme: str
) -> None:
    """No axe rule is broken and nothing sticks out sideways, at three widths, day and night."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()

    found = []
    for path in every_page:
        page.goto(site + path)
        violations = Axe().run(page).response["violations"]
        found += [(path, violation["id"]) for violation in violations]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append((path, "sticks out"))
    context.close()

    assert found == []


def test_a_hostile_letter_reaches_nothing(
    page: WatchedPage, site: str, mailbox: Mailbox, asked: list[str]
) -> None:
    """Scripts, pictures, forms, frames and refreshes in a letter do nothing at all."""
    letter = EmailMessage()
    letter.set_content(HOSTILE, subtype="html")
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))

    page.goto(f"{site}/mail/{message_id}", wait_until="networkidle")
    frame = page.frames[1]
    frame.get_by_role("button", name="Send").click()
    page.wait_for_timeout(300)

    assert page.title() != "broken out"
    assert [path for path in asked if path.startswith("/leak")] == []


def test_links_in_a_letter_open_a_working_tab(
    page: WatchedPage, site: str, mailbox: Mailbox
) -> None:
    """A link leads to a new tab that is an ordinary page, not a sandboxed one."""
    letter = EmailMessage()
    letter.set_content(f'<p><a href="{site}/authenticator">Sign in</a></p>', subtype="html")
    message_id = mailbox.add("", ["ann@example.org"], bytes(letter))
    page.goto(f"{site}/mail/{message_id}")

    with page.expect_popup() as popup:
        page.frames[1].get_by_role("link", name="Sign in").click()
    tab = popup.value
    tab.get_by_label("Key or otpauth:// address").fill("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    tab.get_by_role("button", name="Show the code").click()

    assert tab.get_by_role("heading", name="Current code").is_visible()
    assert page.bad == []
