"""Requests that no page of ours made: other hosts, other sites, lost files, scanners."""

import pytest
from flask.testing import FlaskClient

from donorportal import metrics
from donorportal.payments.gateway import API_VERSION
from tests.access.doorstep import csrf_token, is_signed_in
from tests.portal_in_process import Portal

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


_HOSTS = ["evil.example.org", "localhost.example.org", "localhost@example.org", "[::1", "", "a b"]


def test_k7_a_host_that_is_not_ours_is_refused(portal: Portal) -> None:
    """K7: no page, and so no link in it, is ever made for another host's name."""
    answers = {
        (host, path): portal.client().get(path, headers={"Host": host})
        for host in _HOSTS
        for path in ("/", "/sign-in", "/static/x/site.css")
    }

    assert {} == {asked: got.status for asked, got in answers.items() if got.status_code != 400}
    assert not any("example.org" in answer.text for answer in answers.values())


def test_k7_a_forwarded_host_counts_only_behind_a_proxy(portal: Portal) -> None:
    """K7: without TRUSTED_PROXIES nobody can tell us under which name they reached us."""
    forged = {"X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": "https"}

    answer = portal.client().get("/portal/", headers=forged)

    assert 303 == answer.status_code
    assert answer.location.startswith("/sign-in")


_LOST = [
    "/.git/config", "/.env", "/.env.bak", "/.htaccess", "/backup.zip", "/dump.sql", "/var/",
    "/donorportal.db", "/static/", "/static/x/../../config.py", "/static/x/%2e%2e/config.py",
    "/server-status", "/admin", "/wp-login.php", "/phpinfo.php", "/console", "/.well-known/x",
    "/give/", "/give.bak", "/%00", "/requirements.lock",
]  # fmt: skip


def test_k7_what_scanners_look_for_is_not_there(portal: Portal) -> None:
    """K7: neither files of the installation nor anything that frameworks bring along."""
    found = {path: portal.client().get(path).status_code for path in _LOST}

    assert {} == {path: status for path, status in found.items() if status != 404}


def test_k7_methods_that_no_page_has_are_refused(portal: Portal) -> None:
    """K7: TRACE and its relatives answer 405 everywhere."""
    found = {
        (method, path): portal.client().open(path, method=method).status_code
        for method in ("TRACE", "TRACK", "CONNECT", "PROPFIND", "FOO")
        for path in ("/", "/give", "/portal/", "/webhooks/stripe")
    }

    assert {} == {asked: status for asked, status in found.items() if status != 405}


def test_invented_methods_are_counted_as_one(portal: Portal) -> None:
    """Nobody can fill the memory with the names of methods that do not exist."""
    portal.client().open("/give", method="INVENTED")

    with portal.engine.connect() as connection:
        counted = metrics.exposition(connection).decode()
    assert "INVENTED" not in counted
    assert 'method="other"' in counted


_FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "anything"},
    {"Origin": "http://evil.example.org"},
    {"Origin": "https://localhost"},
    {"Origin": "null"},
]
_FROM_HERE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {},
]


def test_g9_no_form_can_be_sent_from_another_site(
    portal: Portal, people: dict[str, FlaskClient]
) -> None:
    """G9: giving, signing in and out, and running work again take posts of our pages only."""
    donor, owner = people["donor"], people["owner"]
    donors = {"csrf_token": csrf_token(donor, "/sign-in")}
    owners = {"csrf_token": csrf_token(owner, "/staff/sign-in")}

    for headers in _FROM_ELSEWHERE:
        answers = [
            donor.post("/give", data=portal.form(), headers=headers),
            donor.post("/sign-in", data=donors | {"email": "a@example.org"}, headers=headers),
            donor.post("/sign-out", data=donors, headers=headers),
            owner.post("/staff/jobs/1/runs", data=owners, headers=headers),
        ]

        assert [403] * 4 == [answer.status_code for answer in answers], headers
        assert all("not sent from one of our own pages" in answer.text for answer in answers)
        assert "Nothing was charged" in answers[0].text
    assert is_signed_in(donor)
    assert [] == portal.sandbox.requests("POST", "/v1/checkout/sessions")


def test_g9_a_form_from_our_own_page_passes(portal: Portal) -> None:
    """G9: new browsers, old browsers and those that say nothing can give."""
    answers = [
        portal.client().post("/give", data=portal.form(), headers=headers) for headers in _FROM_HERE
    ]

    assert [303] * len(_FROM_HERE) == [answer.status_code for answer in answers]


def test_g9_other_forms_need_a_token_of_this_session_too(
    portal: Portal, people: dict[str, FlaskClient]
) -> None:
    """G9: a post without our token, or with somebody else's, changes nothing."""
    owner = people["owner"]
    of_another = csrf_token(people["donor"], "/sign-in")

    for path in ("/sign-in", "/sign-in/code", "/sign-out", "/staff/jobs/1/runs"):
        answers = [
            owner.post(path),
            owner.post(path, data={"csrf_token": of_another}),
            owner.post(path, data=b'{"csrf_token": "x"}', content_type="text/plain"),
        ]

        assert [403] * 3 == [answer.status_code for answer in answers], path
    assert 200 == owner.get("/staff/").status_code


def test_d12_the_webhook_takes_posts_only(portal: Portal) -> None:
    """D12: looking at the webhook's address says nothing, and needs no cookie or token."""
    client = portal.client()

    assert 405 == client.get("/webhooks/stripe").status_code
    assert 400 == client.post("/webhooks/stripe", data=b"{}").status_code
    assert API_VERSION not in client.get("/webhooks/stripe").text
