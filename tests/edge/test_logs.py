"""H13 and the error pages: what the log holds, and what it never does."""

import json
import re

import pytest
import requests
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tests.browsing import WatchedPage
from tests.journeys.walking import Walk
from tests.live_site import LiveSite
from tests.portal_in_process import Portal

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)

_NAME = "Canary Quetzal"
_EMAIL = "canary.quetzal@example.org"
_TRIBUTE = "Grandmother Quetzal"


def test_h13_a_whole_journey_leaves_nothing_personal_in_the_log(
    site: LiveSite, page: WatchedPage
) -> None:
    """H13: giving, paying and signing in are logged without who, one record a line."""
    walk = Walk(page, site)
    walk.open_form("?campaign=canary-campaign")
    walk.fill("50", _EMAIL, _NAME)
    page.locator("[name=tribute_type][value=memory]").evaluate("box => box.click()")
    page.locator("[name=tribute_name]").evaluate(f"field => field.value = '{_TRIBUTE}'")
    walk.press()
    walk.at_checkout()
    checkout = page.url
    walk.pay()
    walk.at_thanks()
    session_id = page.url.partition("cs=")[2]
    mail = walk.ask_for_code(_EMAIL)
    code, link = re.findall(r"Your code is (\d+)", mail)[0], re.findall(r"/sign-in/(\S+)", mail)[0]
    page.get_by_label("Code").fill("000000" if code != "000000" else "111111")
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{site.url}/sign-in/{link}")
    page.locator("main button").first.click()
    page.wait_for_url(f"{site.url}/portal/")
    cookies = [cookie["value"] for cookie in page.context.cookies()]
    site.finish_work()
    site.stop()

    lines = site._log.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    said = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    canaries = [_EMAIL, _NAME, "quetzal", _TRIBUTE, "4242", session_id, checkout, link, *cookies]
    assert [] == [canary for canary in canaries if canary.lower() in said.lower()]
    assert not re.search(rf"\b{code}\b", said)
    assert {"request", "job done"} <= {record["event"] for record in records}
    assert all({"level", "timestamp"} <= record.keys() for record in records)


def test_h13_the_log_cannot_be_written_from_outside(site: LiveSite) -> None:
    """H13: whatever is in an address or a header, a request is one line of the log."""
    for path in (
        "/%0a%7b%22event%22%3a%22forged%22%7d",
        "/give?amount=%0d%0aforged",
        "/\u2028forged",
    ):
        assert requests.get(site.url + path, headers={"User-Agent": "forged"}).status_code < 500
    site.stop()

    assert "forged" not in site._log.read_text()
    assert all(json.loads(line) for line in site._log.read_text().splitlines())


def test_a_mistake_of_ours_says_what_happened_and_is_found_in_the_log(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 500 names no detail; its reference is in the log, where the values are left out."""
    with portal.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE rate_count"))

    answer = portal.post(name=_NAME, email=_EMAIL)

    reference = re.findall(r'reference <span class="code">(\w+)', answer.text)[0]
    logged = capsys.readouterr()
    log = logged.out + logged.err
    assert 500 == answer.status_code
    assert "Something went wrong on our side" in answer.text
    assert "Nothing was charged" in answer.text
    assert OperationalError.__name__ not in answer.text
    assert "rate_count" not in answer.text
    assert f"reference={reference}" in re.sub(r"\x1b\[\d*m", "", log)
    assert "OperationalError" in log
    assert not re.search("quetzal", log, re.IGNORECASE)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "There is nothing here"),
        ("DELETE", "/give", 405, "That does not work here"),
        ("POST", "/sign-in", 403, "Please try that once more"),
    ],
)
def test_every_error_page_says_what_happened_and_where_to_go(
    portal: Portal, method: str, path: str, status: int, words: str
) -> None:
    """What happened, what it means for money where money could be meant, a way on, a reference."""
    answer = portal.client().open(path, method=method)

    assert status == answer.status_code
    assert words in answer.text
    assert re.search(rf"Error {status}, reference <span class=\"code\">[0-9a-f]{{8}}<", answer.text)
    assert 'href="/"' in answer.text
    assert ("Nothing was charged" in answer.text) == (method == "POST" or path == "/give")
