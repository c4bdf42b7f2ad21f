"""Sessions: new at sign-in, gone everywhere at sign-out, never longer than they may last."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import time_machine

from donorportal import clock
from donorportal.access import people, sessions, staff_accounts
from donorportal.access.models import StaffMember
from donorportal.access.people import Realm
from donorportal.db import db, writing_session
from tests.access.doorstep import (
    STAFF,
    STRANGER,
    Doorstep,
    cookie,
    csrf_token,
    is_signed_in,
    sees_back_office,
    submit,
)

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_f9_signing_in_begins_a_new_session(doorstep: Doorstep) -> None:
    """A session planted before sign-in is worth nothing afterwards, nor is its form token."""
    doorstep.donor()
    victim, attacker = doorstep.browser(), doorstep.browser()
    victim.get("/sign-in")
    planted = cookie(victim, "session")
    attacker.set_cookie("session", planted)
    token_before = csrf_token(victim, "/sign-in")

    doorstep.sign_in(victim)

    after = cookie(victim, "session")
    assert after != planted
    assert csrf_token(victim, "/sign-out") != token_before
    assert victim.post("/sign-out", data={"csrf_token": token_before}).status_code == 403
    assert is_signed_in(victim)
    assert not is_signed_in(attacker)


def test_f9_nothing_of_the_session_before_is_left(doorstep: Doorstep) -> None:
    """What a browser collected before sign-in is forgotten."""
    doorstep.donor()
    browser = doorstep.browser()
    browser.get("/sign-in")
    with browser.session_transaction() as session:
        session["planted"] = "x"

    doorstep.sign_in(browser)

    with browser.session_transaction() as session:
        assert "planted" not in session


def test_f10_signing_out_ends_every_copy(doorstep: Doorstep) -> None:
    """A cookie that was copied before sign-out opens nothing, and neither do other browsers."""
    doorstep.donor()
    browser, other, thief = doorstep.browser(), doorstep.browser(), doorstep.browser()
    doorstep.sign_in(browser)
    doorstep.sign_in(other)
    copied = cookie(browser, "session")
    thief.set_cookie("session", copied)
    assert is_signed_in(thief)

    answer = submit(browser, "/sign-out", {})

    assert answer.status_code == 303
    assert [is_signed_in(each) for each in (browser, other, thief)] == [False] * 3


def test_opening_the_way_out_does_not_sign_out(doorstep: Doorstep) -> None:
    """Only the button signs out; a page that embeds the address cannot."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.sign_in(browser)

    page = browser.get("/sign-out")

    assert page.status_code == 200
    assert is_signed_in(browser)


def test_f10_sign_out_of_one_donor_leaves_the_others(doorstep: Doorstep) -> None:
    """Ending one person's sessions ends nobody else's."""
    donor = doorstep.donor()
    doorstep.donor(STRANGER)
    one, other = doorstep.browser(), doorstep.browser()
    doorstep.sign_in(one)
    doorstep.sign_in(other, STRANGER)

    with writing_session(doorstep.engine) as session:
        people.end_sessions(session, Realm.DONOR, donor)

    assert (is_signed_in(one), is_signed_in(other)) == (False, True)


def test_f10_a_disabled_colleague_is_out_at_once(doorstep: Doorstep) -> None:
    """Disabling a staff member ends their sessions and lets them begin none."""
    doorstep.staff("cyan.douro@example.org")
    staff = doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser)
    assert sees_back_office(browser)

    with writing_session(doorstep.engine) as session:
        staff_accounts.disable(session, staff, actor="system")

    assert not sees_back_office(browser)
    doorstep.ask(doorstep.browser(), STAFF, Realm.STAFF)
    assert doorstep.outbox()[-1].kind == "sign-in-unknown"


def test_f10_a_new_invitation_ends_sessions_and_the_old_app(doorstep: Doorstep) -> None:
    """Inviting a colleague again replaces a lost telephone: whoever has it is shut out."""
    doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser)
    lost = doorstep.authenticator()

    doorstep.staff()

    assert not sees_back_office(browser)
    assert doorstep.authenticator().secret != lost.secret


def test_f10_a_half_signed_in_colleague_is_stopped_too(doorstep: Doorstep) -> None:
    """Disabling a staff member between the two steps leaves the second one closed."""
    staff = doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in(browser, STAFF, Realm.STAFF)
    code = doorstep.authenticator().at(int(time.time()))
    with writing_session(doorstep.engine) as session:
        session.execute(
            sa.update(StaffMember).where(StaffMember.id == staff).values(disabled_at=clock.now())
        )

    answer = browser.get("/staff/second-factor")

    assert answer.location == "/staff/sign-in"
    assert submit(browser, "/staff/second-factor", {"code": code}, "/staff/sign-in").location == (
        "/staff/sign-in"
    )
    assert not sees_back_office(browser)


@pytest.mark.parametrize(
    ("visits", "signed_in"),
    [
        ([timedelta(days=29), timedelta(days=29)], True),
        ([timedelta(days=31)], False),
        ([timedelta(days=29)] * 3 + [timedelta(days=4)], False),
    ],
    ids=["in use", "idle", "in use for too long"],
)
def test_a_donor_stays_signed_in_while_they_come_back(
    doorstep: Doorstep, visits: list[timedelta], signed_in: bool
) -> None:
    """Thirty idle days end a session, and ninety days end any."""
    doorstep.donor()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.sign_in(browser)
        for pause in visits:
            clock.shift(pause)
            seen = is_signed_in(browser)

        assert seen == signed_in


@pytest.mark.parametrize(("hours", "signed_in"), [(11, True), (12, False)])
def test_a_working_day_ends_a_staff_session(
    doorstep: Doorstep, hours: int, signed_in: bool
) -> None:
    """Twelve hours after signing in a staff member does so again, however busy they were."""
    doorstep.staff()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.sign_in_staff(browser)
        for _ in range(hours):
            clock.shift(timedelta(hours=1))
            seen = sees_back_office(browser)

        assert seen == signed_in


def test_visitors_of_public_pages_cost_no_query_and_get_no_cookie(doorstep: Doorstep) -> None:
    """Nobody looks into the database to find out who opened the way out."""
    browser = doorstep.browser()
    queries = _queries(doorstep)

    browser.get("/portal/")

    assert queries == []
    assert browser.get_cookie("session") is None


def test_finding_out_who_is_signed_in_takes_one_query(doorstep: Doorstep) -> None:
    """A request that carries a session reads one row by its key."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.sign_in(browser)
    queries = _queries(doorstep)

    browser.get("/sign-in")

    assert len([query for query in queries if "FROM donor" in query]) == 1


@pytest.mark.parametrize("name", ["session", "asked"])
def test_cookies_are_out_of_reach(doorstep: Doorstep, name: str) -> None:
    """Neither cookie can be read by a script, or is sent along by another site's form."""
    doorstep.donor()
    answer = doorstep.ask(doorstep.browser())

    cookies = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(name)]

    assert len(cookies) == 1
    assert "HttpOnly" in cookies[0]
    assert "SameSite=Lax" in cookies[0]
    assert "Path=/" in cookies[0]
    assert "Domain" not in cookies[0]


def test_on_https_no_other_host_can_plant_a_cookie(doorstep: Doorstep) -> None:
    """Behind https both cookies carry the prefix that browsers only accept from the host itself."""
    secure = replace(doorstep.settings, public_url="https://give.example.org")

    configuration = sessions.configuration(secure)

    assert configuration["SESSION_COOKIE_NAME"] == "__Host-session"
    assert configuration["SESSION_COOKIE_SECURE"] is True
    assert sessions.cookie_name(secure, "asked") == "__Host-asked"


def _queries(doorstep: Doorstep) -> list[str]:
    """Return the list to which every statement of the application is added from now on."""
    queries: list[str] = []
    with doorstep.app.app_context():
        engine = db.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))
    return queries
