"""G1: every route, for everybody, with every method, against the table in routes.csv.

A new route fails here until the table says who may use it: `open` for whoever gets an answer of
the route itself, whatever it is; `sign in` for whoever is sent to sign in; and what else the door
says. Addresses with a made-up token are not found, for everybody alike.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from donorportal import clock
from donorportal.access.people import Role
from donorportal.access.permissions import RegistryIncomplete, check_registry
from donorportal.db import writing_session
from donorportal.webhooks.models import InboundEvent
from tests.access.doorstep import DONOR, Doorstep

_TABLE = Path(__file__).with_name("routes.csv")
_PEOPLE = ("anonymous", "donor", *Role)
_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


@pytest.fixture
def browsers(doorstep: Doorstep) -> dict[str, FlaskClient]:
    """One browser for each kind of person, signed in as that person."""
    browsers = {name: doorstep.browser() for name in _PEOPLE}
    doorstep.donor()
    doorstep.sign_in(browsers["donor"], DONOR)
    for role in Role:
        doorstep.staff(f"{role}@example.org", role)
        doorstep.sign_in_staff(browsers[role], f"{role}@example.org")
    # The invitations and the mails above have queued more than seven jobs.
    with writing_session(doorstep.engine) as session:
        event = {"id": 7, "event_id": "evt_7", "type": "x", "payload": "{}", "livemode": False}
        session.execute(sa.insert(InboundEvent).values(received_at=clock.now(), **event))
    return browsers


@_ONE_DATABASE
def test_g1_every_route_answers_as_the_table_says(
    doorstep: Doorstep, browsers: dict[str, FlaskClient]
) -> None:
    """For every route and method, what each kind of person gets equals the checked-in table."""
    found = [
        {
            "route": rule.rule,
            "method": method,
            **{name: _outcome(browsers[name].open(_url(rule), method=method)) for name in _PEOPLE},
        }
        for rule in _rules(doorstep.app)
        for method in _VERBS
        if method in (rule.methods or set())
    ]
    with _TABLE.open(newline="") as table:
        expected = list(csv.DictReader(table))

    assert found == expected


@_ONE_DATABASE
def test_g1_no_other_method_reaches_a_route(
    doorstep: Doorstep, browsers: dict[str, FlaskClient]
) -> None:
    """A method that a route does not declare is refused for everybody, owners included."""
    let_through = [
        (rule.rule, method, name)
        for rule in _rules(doorstep.app)
        for method in _VERBS
        if method not in (rule.methods or set())
        for name in _PEOPLE
        if browsers[name].open(_url(rule), method=method).status_code != 405
    ]

    assert let_through == []


@_ONE_DATABASE
def test_g1_a_slash_at_the_end_opens_nothing(
    doorstep: Doorstep, browsers: dict[str, FlaskClient]
) -> None:
    """With or without a slash at the end, nobody gets further than at the address itself."""
    further = []
    for rule in _rules(doorstep.app):
        url = _url(rule)
        other = url.rstrip("/") if url.endswith("/") else f"{url}/"
        for name in _PEOPLE:
            answer = browsers[name].open(other, method="GET")
            leads_back = answer.status_code == 308 and answer.location.endswith(url)
            if other and not leads_back and answer.status_code not in {404, 405}:
                further.append((other, name, answer.status_code))

    assert further == []


@_ONE_DATABASE
def test_g1_a_route_without_a_permission_keeps_the_program_from_starting(
    doorstep: Doorstep,
) -> None:
    """Adding a route and forgetting its permission is noticed before the first request."""
    doorstep.app.add_url_rule("/forgotten", "forgotten", lambda: "")

    with pytest.raises(RegistryIncomplete, match="'forgotten', 'GET'"):
        check_registry(doorstep.app)


@_ONE_DATABASE
def test_g1_a_method_without_a_permission_keeps_the_program_from_starting(
    doorstep: Doorstep,
) -> None:
    """The permission to look at a page never includes the one to post to it."""
    doorstep.app.add_url_rule("/portal/", "portal.overview", methods=["POST"])

    with pytest.raises(RegistryIncomplete, match=r"'portal\.overview', 'POST'"):
        check_registry(doorstep.app)


def test_g1_a_permission_without_a_route_keeps_the_program_from_starting() -> None:
    """The table cannot keep names of routes that are gone."""
    with pytest.raises(RegistryIncomplete, match="permissions without a route"):
        check_registry(Flask("empty", static_folder=None))


@_ONE_DATABASE
def test_g3_what_only_some_may_see_is_kept_nowhere(
    doorstep: Doorstep, browsers: dict[str, FlaskClient]
) -> None:
    """Neither browsers nor proxies keep a page of the portal or of the back office."""
    kept = [
        rule.rule
        for rule in _rules(doorstep.app)
        if rule.endpoint.partition(".")[0] in {"access", "portal", "staff"}
        and "GET" in (rule.methods or set())
        for name in ("donor", Role.OWNER)
        if browsers[name].get(_url(rule)).headers["Cache-Control"] != "no-store"
    ]

    assert kept == []


def _rules(app: Flask) -> Iterator[Rule]:
    yield from sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)


def _url(rule: Rule) -> str:
    url = re.sub(r"<any\((\w+),.*?>", r"\1", rule.rule)
    for name in rule.arguments:
        value = "7" if name.endswith("_id") else "x"
        for form in (f"<{name}>", f"<int:{name}>", f"<path:{name}>"):
            url = url.replace(form, value)
    return url


def _outcome(answer: TestResponse) -> str:
    if answer.status_code in {302, 303} and answer.location.startswith(
        ("/sign-in", "/staff/sign-in")
    ):
        return "sign in"
    if answer.status_code == 403 and "no longer valid" in answer.text:
        return "open"  # Let through, and stopped by the missing token, so that nothing happens.
    return {403: "forbidden", 404: "not found"}.get(answer.status_code, "open")
