"""K6: whatever is sent to whichever route, by whomever, is answered without an error of ours."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.access.doorstep import csrf_token, is_signed_in, sees_back_office
from tests.portal_in_process import Portal

_ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
_METHODS = ["GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
# What programs like ours have stumbled over before.
_STONES = [
    "", " ", "\x00", "a\x00b", "%", "%s", "'--", "../../etc/passwd", "9" * 30, "-1", "1e9", "NaN",
    "2147483648", "9223372036854775808", "1" * 5000, "١٢٣", "0001-01-01.1", "9999-12-31.1",
    "2026-02-30.1", "2026-01-01.999999999999999999", "1999", "cs_test_x", "\r\nX: y", "\u202e",
    "\u2028", "{{7*7}}", "//example.org", "\\\\example.org", "0" * 32, "🕯" * 300,
]  # fmt: skip
_VALUES = st.one_of(st.sampled_from(_STONES), st.text(max_size=60))
_NAMES = st.one_of(
    st.sampled_from(
        ["amount", "tile", "currency", "frequency", "campaign", "story", "cs", "again", "key",
         "stamp", "email", "name", "code", "token", "next", "year", "after", "before", "state",
         "topics", "designation", "instead", "second_monthly", "tribute_type"]
    ),
    st.text(max_size=20),
)  # fmt: skip
_FIELDS = st.dictionaries(_NAMES, _VALUES, max_size=6)
_BODIES = st.one_of(
    st.none(),
    st.tuples(st.just("application/x-www-form-urlencoded"), st.binary(max_size=80)),
    st.tuples(st.just("application/json"), st.sampled_from([b"{", b"null", b"[[[[", b"\xff\xfe"])),
    st.tuples(st.just("multipart/form-data; boundary=x"), st.binary(max_size=80)),
    st.tuples(st.just("multipart/form-data"), st.binary(max_size=80)),
    st.tuples(st.text("abc/;=\xff", max_size=12), st.binary(max_size=80)),
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Range", "If-None-Match",
         "Stripe-Signature", "Authorization", "Origin", "Sec-Fetch-Site", "X-Forwarded-For",
         "X-Forwarded-Host", "If-Modified-Since", "Content-Length"]
    ),
    st.one_of(
        st.sampled_from(["", "x", "t=1,v1=x", "t=,v1=", "bytes=5-1", "null", "same-origin"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40),
    ),
    max_size=3,
)  # fmt: skip


def _patient(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )


def test_k6_no_request_leads_to_an_error_of_ours(
    portal: Portal, people: dict[str, FlaskClient]
) -> None:
    """K6: random methods, addresses, parameters, bodies and headers are answered below 500."""
    rules = sorted(portal.app.url_map.iter_rules(), key=lambda rule: rule.rule)

    @_patient(120)
    @given(st.data())
    def send(data: st.DataObject) -> None:
        rule = data.draw(st.sampled_from(rules))
        value = quote(data.draw(_VALUES), safe="")
        path = _filled(rule, data.draw(st.sampled_from([value, "7", "9" * 30])))
        body = data.draw(_BODIES)
        sent: dict[str, Any] = {"query_string": data.draw(_FIELDS)}
        if body is None:
            sent["data"] = data.draw(_FIELDS)
        else:
            sent |= {"content_type": body[0], "data": body[1]}
        who = data.draw(st.sampled_from(sorted(people)))
        answer = people[who].open(
            path,
            method=data.draw(st.sampled_from(_METHODS)),
            headers=data.draw(_HEADERS),
            **sent,
        )

        assert answer.status_code < 500, (who, path, answer.status_code)

    send()

    assert is_signed_in(people["donor"]), "or all of this was sent by nobody"
    assert sees_back_office(people["owner"])


def test_k6_no_field_of_a_form_leads_to_an_error_of_ours(
    portal: Portal, people: dict[str, FlaskClient]
) -> None:
    """K6: the same with forms that carry a good token, so that the fields are really read."""
    paths = [
        _filled(rule, "7")
        for rule in sorted(portal.app.url_map.iter_rules(), key=lambda rule: rule.rule)
        if "POST" in (rule.methods or set()) and rule.endpoint != "access.sign_out"
    ]
    tokens = {
        "anonymous": csrf_token(people["anonymous"], "/sign-in"),
        "donor": csrf_token(people["donor"], "/sign-in"),
        "owner": csrf_token(people["owner"], "/staff/sign-in"),
    }

    @_patient(60)
    @given(st.data())
    def send(data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(tokens)))
        path = data.draw(st.sampled_from(paths))
        start = portal.form() if path == "/give" else {"email": "somebody@example.org"}
        answer = people[who].post(
            path, data={"csrf_token": tokens[who]} | start | data.draw(_FIELDS)
        )

        assert answer.status_code < 500, (who, path)

    send()


def _filled(rule: Rule, value: str) -> str:
    """Return an address of a route, with *value* for everything that is variable in it."""
    return re.sub(r"<(?:\w+:)?\w+>", lambda _: value, rule.rule)


@_ONE_DATABASE
def test_k6_bytes_that_are_no_text_are_no_error(portal: Portal) -> None:
    """K6: addresses that are not UTF-8 are answered like any that mean nothing."""
    for query in ("cs=%FF%FE", "cs=%00", "amount=%C0%80", "%FF=%FF", "a&&=&=b"):
        answers = [
            portal.client().get(f"{path}?{query}") for path in ("/", "/give", "/give/thanks")
        ]

        assert [200, 200, 404] == [answer.status_code for answer in answers], query


@_ONE_DATABASE
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"name": "x" * 70_000}, "application/x-www-form-urlencoded"),
        ({f"field{n}": "x" for n in range(300)}, "multipart/form-data"),
        (b"x" * 1_100_000, "application/octet-stream"),
    ],
)
def test_k6_too_much_is_said_to_be_too_much(portal: Portal, content: Any, kind: str) -> None:
    """K6: a form of more than we take is refused with 413 and a page that says so."""
    answer = portal.client().post("/give", data=content, content_type=kind)

    assert _said(answer, 413)


def _said(answer: TestResponse, status: int) -> bool:
    return answer.status_code == status and f"Error {status}" in answer.text
