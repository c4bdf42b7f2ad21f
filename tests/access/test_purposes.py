"""F15: what opens one door opens no other."""

from collections.abc import Callable

import pytest

from donorportal.access.people import Realm
from donorportal.access.purposes import Purpose, keys
from donorportal.access import staff_accounts
from donorportal.access.people import Role
from donorportal.db import writing_session
from tests.access.doorstep import (
    STAFF,
    Doorstep,
    csrf_token,
    is_signed_in,
    sees_back_office,
    submit,
)

_NEW = "new@example.org"

# Each door, and what happens to whoever brings it a token.
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
def test_F15_a_token_of_one_purpose_is_refused_by_all_others(
    doorstep: Doorstep, kind: str, door: str
) -> None:
    """Every kind of token is tried at every door of the browser it was made for."""
    doorstep.donor()
    doorstep.staff()
    browser = doorstep.browser()
    tokens = _tokens(doorstep, browser)
    path = _DOORS[door]

    submit(
        browser,
        path.format(tokens[kind]),
        {"code": tokens[kind]},
        form="/sign-in",
    )

    opened = is_signed_in(browser) or sees_back_office(browser) or _is_half_way(browser)
    fits = kind == door
    # The second factor alone is no door: somebody has to have taken the first step.
    assert opened == (fits and door != "second factor" and door != "invitation")


def _tokens(doorstep: Doorstep, browser: object) -> dict[str, str]:
    from flask.testing import FlaskClient

    assert isinstance(browser, FlaskClient)
    with writing_session(doorstep.engine) as session:
        invitation = staff_accounts.invite(session, doorstep.settings, _NEW, Role.EDITOR)
    doorstep.ask(browser)
    tokens = {"donor code": doorstep.code(), "donor link": _last(doorstep.link())}
    doorstep.ask(browser, STAFF, Realm.STAFF)
    tokens |= {"staff code": doorstep.code(), "staff link": _last(doorstep.link())}
    cookies = {name: browser.get_cookie(name) for name in ("session", "asked")}
    assert all(cookies.values())
    return tokens | {
        "second factor": doorstep.authenticator().now(),
        "invitation": _last(invitation),
        "session": cookies["session"].value,  # type: ignore[union-attr]
        "browser": cookies["asked"].value,  # type: ignore[union-attr]
        "form": csrf_token(browser, "/sign-in"),
    }


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _is_half_way(browser: object) -> bool:
    from flask.testing import FlaskClient

    assert isinstance(browser, FlaskClient)
    return browser.get("/staff/second-factor").status_code == 200
