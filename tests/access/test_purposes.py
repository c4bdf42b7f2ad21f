"""F15: what opens one door opens no other."""

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient

from donorportal.access import staff_accounts
from donorportal.access.people import Realm, Role
from donorportal.access.purposes import Purpose, keys
from donorportal.db import writing_session
from tests.access.doorstep import (
    STAFF,
    Doorstep,
    cookie,
    csrf_token,
    is_signed_in,
    sees_back_office,
    submit,
)

_NEW = "new@example.org"

_DOORS: dict[str, str] = {
    "donor link": "/sign-in/{}",
    "donor code": "/sign-in/code",
    "staff link": "/staff/sign-in/{}",
    "staff code": "/staff/sign-in/code",
    "second factor": "/staff/second-factor",
    "invitation": "/staff/enrol/{}",
}
_TOKENS = (
    "donor link",
    "donor code",
    "staff link",
    "staff code",
    "second factor",
    "invitation",
    "session",
    "browser",
    "form",
)


def test_every_purpose_has_a_key_of_its_own(doorstep: Doorstep) -> None:
    """No two purposes share a key, and none is SECRET_KEY itself."""
    made = {keys(doorstep.settings, purpose)[0] for purpose in Purpose}

    assert len(made) == len(Purpose)
    assert doorstep.settings.secret_key.encode() not in made


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("door", _DOORS)
@pytest.mark.parametrize("kind", _TOKENS)
def test_f15_a_token_of_one_purpose_is_refused_by_all_others(
    doorstep: Doorstep, kind: str, door: str
) -> None:
    """Every kind of token is tried at every door of the browser it was made for."""
    doorstep.donor()
    doorstep.staff()
    browser = doorstep.browser()
    tokens = _tokens(doorstep, browser)

    submit(browser, _DOORS[door].format(tokens[kind]), {"code": tokens[kind]}, form="/sign-in")

    opened = is_signed_in(browser) or sees_back_office(browser) or _is_half_way(browser)
    # The two others need more than a token: a first step, and the code of a new authenticator.
    assert opened == (kind == door and door not in {"second factor", "invitation"})


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", _TOKENS)
def test_f15_no_token_is_a_session(doorstep: Doorstep, kind: str) -> None:
    """No token, set as the session's cookie, signs anybody in."""
    doorstep.donor()
    doorstep.staff()
    token = _tokens(doorstep, doorstep.browser())[kind]
    browser = doorstep.browser()
    browser.set_cookie("session", token)

    assert not is_signed_in(browser)
    assert not sees_back_office(browser)
    assert not _is_half_way(browser)


def test_f15_the_secret_itself_signs_no_session(doorstep: Doorstep) -> None:
    """A session signed with SECRET_KEY instead of the key of its purpose is worth nothing."""
    donor = doorstep.donor()
    forger = Flask("forger")
    forger.secret_key = doorstep.settings.secret_key
    serializer = SecureCookieSessionInterface().get_signing_serializer(forger)
    assert serializer is not None
    forged = serializer.dumps({"_user_id": f"donor:{donor}:0", "until": 2**40})
    browser = doorstep.browser()
    browser.set_cookie("session", str(forged))

    assert not is_signed_in(browser)


def _tokens(doorstep: Doorstep, browser: FlaskClient) -> dict[str, str]:
    with writing_session(doorstep.engine) as session:
        invitation = staff_accounts.invite(session, doorstep.settings, _NEW, Role.EDITOR)
    doorstep.ask(browser)
    tokens = {"donor code": doorstep.code(), "donor link": _last(doorstep.link())}
    doorstep.ask(browser, STAFF, Realm.STAFF)
    tokens |= {"staff code": doorstep.code(), "staff link": _last(doorstep.link())}
    return tokens | {
        "second factor": doorstep.authenticator().now(),
        "invitation": _last(invitation),
        "session": cookie(browser, "session"),
        "browser": cookie(browser, "asked"),
        "form": csrf_token(browser, "/sign-in"),
    }


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _is_half_way(browser: FlaskClient) -> bool:
    return browser.get("/staff/second-factor").status_code == 200
