"""Pages as a browser shows them: readable, light, and the same without a script."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import render_template
from playwright.sync_api import Browser, Page, Request, Route

from tests.browsing import WatchedPage, watch
from tests.look.conftest import Site

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_PUBLIC = ("/", "/give", "/give?amount=30&frequency=monthly", "/sign-in", "/staff/sign-in", "/nope")
# What is printed on what, and the least contrast WCAG 2.2 AA asks for.
_PAIRS = (
    ("ink", "paper", 4.5),
    ("ink", "tint", 4.5),
    ("muted", "paper", 4.5),
    ("muted", "surface", 4.5),
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-strong", 4.5),
    ("calm", "paper", 4.5),
    ("calm", "tint", 4.5),
    ("success", "surface", 4.5),
    ("warning", "surface", 4.5),
    ("danger", "surface", 4.5),
    ("edge", "surface", 3),
    ("edge", "paper", 3),
)
_CONTRAST = """pairs => {
  const context = document.createElement("canvas").getContext("2d");
  const probe = document.body.appendChild(document.createElement("i"));
  const light = name => {
    probe.style.color = `var(--${name})`;
    context.fillStyle = getComputedStyle(probe).color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(byte => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return pairs.filter(([one, other, least]) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05) < least;
  });
}"""


@pytest.fixture(params=_SCHEMES)
def scheme(request: pytest.FixtureRequest) -> Literal["light", "dark"]:
    """The colours the donor's device asks for."""
    chosen: Literal["light", "dark"] = request.param
    return chosen


@pytest.fixture
def phone(browser: Browser, scheme: Literal["light", "dark"]) -> Iterator[WatchedPage]:
    """A page on a small phone."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme=scheme, reduced_motion="reduce"
    )
    yield watch(context.new_page())
    context.close()


@pytest.fixture
def scriptless(browser: Browser) -> Iterator[Page]:
    """A page in a browser that runs no script."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", _PUBLIC)
def test_public_pages_are_accessible(site: Site, phone: WatchedPage, path: str) -> None:
    """Axe finds nothing on a public page, which also fits a small phone and breaks no policy."""
    phone.goto(site.url + path)

    assert _violations(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert [line for line in phone.bad if "404" not in line] == []


def test_every_part_of_the_pages_is_accessible(site: Site, phone: WatchedPage) -> None:
    """Axe finds nothing on the page that shows all components together."""
    with site.app.test_request_context():
        html = render_template("staff/style.html", nav=[])
    phone.route("**/style", lambda route: _answer(route, html))
    phone.goto(f"{site.url}/style")

    assert _violations(phone) == []


def test_colours_keep_their_distance(site: Site, phone: WatchedPage) -> None:
    """Every pair of colours that meets on a page has the contrast its use needs."""
    phone.goto(site.url)

    assert phone.evaluate(_CONTRAST, _PAIRS) == []


def test_the_giving_page_weighs_little_and_asks_nobody_else(site: Site, phone: WatchedPage) -> None:
    """Everything the giving page loads comes from us and fits into 40 kB."""
    asked = _requests(phone)
    phone.goto(f"{site.url}/give", wait_until="networkidle")

    weight = sum(request.sizes()["responseBodySize"] for request in asked)

    assert {request.url.startswith(site.url) for request in asked} == {True}
    assert 20_000 < weight <= 40 * 1024


def test_the_button_follows_what_is_chosen(site: Site, page: WatchedPage) -> None:
    """The button names the amount and how often, whatever was chosen last."""
    page.goto(f"{site.url}/give")
    button = page.locator("button.primary")
    page.get_by_role("radio", name="Every month").check()
    page.locator("[name=tile]").first.check(force=True)
    first = page.locator(".tiles label").first.inner_text().strip()
    labels = [button.inner_text()]

    page.get_by_label("Other amount").fill("30")
    labels.append(button.inner_text())
    page.get_by_label("Other amount").fill("30 or so")
    labels.append(button.inner_text())

    assert labels == [f"Give {first} every month", "Give $30 every month", "Give every month"]
    assert page.locator("[name=tile]:checked").count() == 0


def test_without_a_script_the_button_claims_no_other_amount(site: Site, scriptless: Page) -> None:
    """Once the choice differs from what the button says, it stops naming an amount."""
    scriptless.goto(f"{site.url}/give?amount=30&frequency=monthly")
    button = scriptless.locator("button.primary")
    before = button.inner_text()
    scriptless.get_by_role("radio", name="Once").check()

    assert (before, button.inner_text()) == ("Give $30 every month", "Give")


def test_another_currency_keeps_what_was_typed(site: Site, page: WatchedPage) -> None:
    """Choosing a currency shows its amounts; names and addresses do not travel in the link."""
    page.goto(f"{site.url}/give")
    page.get_by_label("E-mail").fill("ana@example.org")
    page.get_by_label("Other amount").fill("30")
    page.get_by_label("Currency").select_option("GBP")
    page.wait_for_url("**currency=GBP**")

    assert "ana" not in page.url
    assert page.get_by_label("E-mail").input_value() == "ana@example.org"
    assert page.get_by_label("Other amount").input_value() == "30"
    assert page.locator("button.primary").inner_text() == "Give £30"


def test_a_double_click_sends_one_form(site: Site, page: WatchedPage) -> None:
    """Two clicks on the button make one request."""
    page.goto(f"{site.url}/give?amount=30")
    page.get_by_label("E-mail").fill("ana@example.org")
    asked = _requests(page)
    page.locator("button.primary").dblclick(no_wait_after=True)
    page.wait_for_load_state("networkidle")

    assert [request.method for request in asked].count("POST") == 1


def test_mistakes_take_the_focus_and_lose_nothing(site: Site, scriptless: Page) -> None:
    """Without a script too, the summary of mistakes has the focus and each link reaches a field."""
    scriptless.goto(f"{site.url}/give")
    scriptless.get_by_label("E-mail").fill("ana@example")
    scriptless.get_by_label("Other amount").fill("3O")
    scriptless.get_by_label("Name", exact=False).last.fill("Ana Example")
    scriptless.wait_for_timeout(1100)
    scriptless.locator("button.primary").click()
    summary = scriptless.locator(".notice.is-danger")
    links = [link.get_attribute("href") or "" for link in summary.get_by_role("link").all()]

    assert scriptless.locator(":focus").get_attribute("class") == summary.get_attribute("class")
    assert sorted(links) == ["#amount", "#email"]
    assert [scriptless.locator(link).count() for link in links] == [1, 1]
    assert scriptless.get_by_label("Other amount").input_value() == "3O"


def _requests(page: Page) -> list[Request]:
    """Collect what the page asks for from now on."""
    asked: list[Request] = []

    def note(request: Request) -> None:
        asked.append(request)

    page.on("request", note)
    return asked


def _violations(page: Page) -> list[Any]:
    found = Axe().run(page, options={"runOnly": _RULES})
    return [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]]


def _answer(route: Route, html: str) -> None:
    route.fulfill(body=html, content_type="text/html; charset=utf-8")
