"""What every answer carries, and what the giving page costs."""

import gzip
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from donorportal.app import create_app
from donorportal.db import db
from tests.browsing import WatchedPage
from tests.live_site import LiveSite
from tests.portal_in_process import Portal, settings_for

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)

_ADDRESS = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_IN_CSS = re.compile(r'url\("([^":]+)"\)')


def _answers(portal: Portal, people: dict[str, FlaskClient]) -> Iterator[tuple[str, TestResponse]]:
    """One answer of each kind: every page, every error we can cause, every sort of file."""
    for rule in portal.app.url_map.iter_rules():
        path = re.sub(r"<int:\w+>", "7", rule.rule)
        path = re.sub(r"<(?:path:)?\w+>", "x", path)
        for name, browser in people.items():
            yield f"{name} {path}", browser.get(path)
    anonymous = people["anonymous"]
    styles = _ADDRESS.findall(anonymous.get("/").text)[0]
    yield "static", anonymous.get(styles)
    yield "not found", anonymous.get("/nothing/here")
    yield "wrong method", anonymous.delete("/give")
    yield "options", anonymous.options("/give")
    yield "refused form", anonymous.post("/give", data={})
    yield "other site", anonymous.post("/give", headers={"Sec-Fetch-Site": "cross-site"})
    yield "no token", people["owner"].post("/staff/jobs/7/runs")
    yield "too much", anonymous.post("/give", data={"name": "x" * 70_000})
    yield "foreign host", anonymous.get("/", headers={"Host": "evil.example.org"})
    yield "webhook", anonymous.post("/webhooks/stripe", data=b"{}")
    yield "redirect", portal.post()


def test_h12_every_answer_carries_the_security_headers(
    portal: Portal, people: dict[str, FlaskClient]
) -> None:
    """H12: pages, errors, redirects and files alike say what browsers may do with them."""
    without: list[tuple[str, str]] = []
    for what, answer in _answers(portal, people):
        policy = answer.headers.get("Content-Security-Policy", "")
        facts = {
            "csp": policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"),
            "no inline": "unsafe" not in policy,
            "frames": "frame-ancestors 'none'" in policy,
            "base": "base-uri 'none'" in policy,
            "nosniff": answer.headers.get("X-Content-Type-Options") == "nosniff",
            "referrer": "Referrer-Policy" in answer.headers,
            "opener": answer.headers.get("Cross-Origin-Opener-Policy") == "same-origin",
            "resource": answer.headers.get("Cross-Origin-Resource-Policy") == "same-origin",
            "no version": "Werkzeug" not in answer.headers.get("Server", ""),
        }
        without += [(what, name) for name, there in facts.items() if not there]

    assert without == []


def test_h12_https_is_insisted_on_where_donors_reach_us_by_it(portal: Portal) -> None:
    """H12: a site on https tells browsers to stay there, and marks its cookies for it."""
    settings = settings_for(
        portal.settings.database_url, portal.sandbox, PUBLIC_URL="https://give.example.org"
    )
    app = create_app(settings)
    client = app.test_client()
    there = {"base_url": "https://give.example.org"}

    page = client.get("/", **there)
    form = client.get("/sign-in", **there)
    with app.app_context():
        db.engine.dispose()

    assert "max-age=31536000; includeSubDomains" == page.headers["Strict-Transport-Security"]
    cookies = form.headers.getlist("Set-Cookie")
    assert cookies
    assert all(
        cookie.startswith("__Host-") and "Secure" in cookie and "SameSite=Lax" in cookie
        for cookie in cookies
    )


def test_looking_at_the_public_pages_leaves_no_cookie(portal: Portal) -> None:
    """Whoever only looks is not remembered, so there is nothing to ask consent for."""
    for path in ("/", "/give", "/give?amount=30&frequency=monthly", "/give?campaign=spring"):
        answer = portal.client().get(path)

        assert 200 == answer.status_code
        assert [] == answer.headers.getlist("Set-Cookie")


def test_files_are_sent_compressed_and_kept_for_a_year(portal: Portal) -> None:
    """A file's address never changes its content, so browsers ask for it once."""
    client = portal.client()
    styles = next(a for a in _ADDRESS.findall(client.get("/give").text) if a.endswith(".css"))

    packed = client.get(styles, headers={"Accept-Encoding": "gzip"})
    plain = client.get(styles)
    stale = client.get(re.sub(r"/static/\w+/", "/static/000000000000/", styles))

    assert "gzip" == packed.headers["Content-Encoding"]
    assert gzip.decompress(packed.data) == plain.data
    assert "public, max-age=31536000, immutable" == packed.headers["Cache-Control"]
    assert "Accept-Encoding" == packed.headers["Vary"], "one file for all, signed in or not"
    assert 404 == stale.status_code
    assert "immutable" not in stale.headers.get("Cache-Control", "")


def test_pages_are_compressed_for_whoever_has_no_cookie(portal: Portal) -> None:
    """A visitor's page comes compressed; one that may hold a secret does not."""
    visitor, known = portal.client(), portal.client()
    known.get("/sign-in")
    packing = {"Accept-Encoding": "gzip, br"}

    packed = visitor.get("/give", headers=packing)
    whole = known.get("/sign-in", headers=packing)
    refused = visitor.get("/give", headers={"Accept-Encoding": "gzip;q=0"})

    assert b"<h1" in gzip.decompress(packed.data)
    assert len(packed.data) == int(packed.headers["Content-Length"])
    assert "Content-Encoding" not in whole.headers
    assert "<h1" in refused.text
    assert all("Accept-Encoding" in each.headers["Vary"] for each in (packed, whole, refused))


def test_the_whole_giving_page_stays_below_forty_kilobytes(
    site: LiveSite, page: WatchedPage
) -> None:
    """What Chromium loads to show the form: little, all of it ours, and nothing it complains of."""
    sent: dict[str, int] = {}
    network: Any = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    asked: dict[str, str] = {}
    network.on(
        "Network.requestWillBeSent", lambda e: asked.update({e["requestId"]: e["request"]["url"]})
    )
    network.on(
        "Network.loadingFinished",
        lambda e: sent.update({asked[e["requestId"]]: int(e["encodedDataLength"])}),
    )

    page.goto(f"{site.url}/give", wait_until="networkidle")

    assert {urlsplit(site.url).netloc} == {
        urlsplit(url).netloc for url in asked.values() if not url.startswith("data:")
    }
    assert sum(sent.values()) <= 40_000, sent
    assert {"css", "js", "woff2"} <= {url.rpartition(".")[2] for url in sent}
    assert [] == page.bad
