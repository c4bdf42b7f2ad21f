"""The second step: each code once, in one spelling, and no page before both steps."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
import sqlalchemy as sa
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from donorportal.access import second_factor
from donorportal.access.models import StaffMember
from donorportal.access.people import Realm
from donorportal.access.second_factor import Verdict
from donorportal.db import writing_session
from tests.access.doorstep import STAFF, Doorstep, sees_back_office, submit

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_STEP = timedelta(seconds=30)
_FULL_WIDTH = {ord("0") + n: 0xFF10 + n for n in range(10)}
_PAGES = ("/staff/", "/staff/inbox", "/staff/jobs", "/staff/outbox", "/staff/style")


def test_both_steps_open_the_back_office(doorstep: Doorstep) -> None:
    """The code from the mail and the code of the app, in this order, sign a colleague in."""
    doorstep.staff()
    browser = doorstep.browser()

    first = doorstep.sign_in(browser, STAFF, Realm.STAFF)
    second = submit(browser, "/staff/second-factor", {"code": doorstep.authenticator().now()})

    assert (first.status_code, first.location) == (303, "/staff/second-factor")
    assert (second.status_code, second.location) == (303, "/staff/")
    assert sees_back_office(browser)


@pytest.mark.parametrize("seconds", [-30, 0, 30])
def test_a_telephone_may_be_half_a_minute_off(doorstep: Doorstep, seconds: int) -> None:
    """Codes of the step before and of the next one are taken: clocks differ."""
    doorstep.staff()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False):
        doorstep.sign_in(browser, STAFF, Realm.STAFF)
        code = doorstep.authenticator().at(int(_NOON.timestamp()) + seconds)
        submit(browser, "/staff/second-factor", {"code": code})

        assert sees_back_office(browser)


@pytest.mark.parametrize("seconds", [-60, 60])
def test_an_older_or_later_code_is_refused(doorstep: Doorstep, seconds: int) -> None:
    """A code of a minute ago, or of a minute ahead, is not taken."""
    doorstep.staff()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False):
        doorstep.sign_in(browser, STAFF, Realm.STAFF)
        code = doorstep.authenticator().at(int(_NOON.timestamp()) + seconds)
        answer = submit(browser, "/staff/second-factor", {"code": code})

        assert answer.status_code == 422
        assert not sees_back_office(browser)


@pytest.mark.parametrize(
    "spelled",
    [
        lambda app, now: app.at(now),
        lambda app, now: f" {app.at(now)} ",
        lambda app, now: f"{app.at(now)[:3]} {app.at(now)[3:]}",
        lambda app, now: app.at(now).translate(_FULL_WIDTH),
        lambda app, now: app.at(now - 30),
    ],
    ids=["same", "spaces around", "space within", "full width", "previous window"],
)
def test_f11_a_code_opens_the_door_once(
    doorstep: Doorstep, spelled: Callable[[pyotp.TOTP, int], str]
) -> None:
    """A code that was accepted is refused afterwards, however it is written."""
    doorstep.staff()
    app = doorstep.authenticator()
    now = int(_NOON.timestamp())
    with time_machine.travel(_NOON, tick=False):
        doorstep.sign_in_staff(doorstep.browser())
        browser = doorstep.browser()
        doorstep.sign_in(browser, STAFF, Realm.STAFF)

        answer = submit(browser, "/staff/second-factor", {"code": spelled(app, now)})

        assert answer.status_code == 422
        assert not sees_back_office(browser)


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_f11_no_sequence_of_codes_is_accepted_twice(
    doorstep: Doorstep, data: st.DataObject
) -> None:
    """Whatever codes come in whatever spelling and order, each time step is accepted once."""
    staff = _fresh_staff(doorstep)
    app = doorstep.authenticator()
    spellings = (
        str,
        lambda code: f" {code}",
        lambda code: f"{code[:3]} {code[3:]}",
        lambda code: code.translate(_FULL_WIDTH),
        lambda code: f"{code}\n",
    )
    accepted: list[int] = []
    moment = _NOON
    for _ in range(8):
        moment += data.draw(st.sampled_from([timedelta(0), _STEP, 20 * _STEP]))
        with time_machine.travel(moment, tick=False), writing_session(doorstep.engine) as session:
            step = int(moment.timestamp()) // 30 + data.draw(st.sampled_from([-1, 0, 1]))
            typed = data.draw(st.sampled_from(spellings))(app.at(step * 30))
            if second_factor.check(session, doorstep.settings, staff, typed) == Verdict.GOOD:
                accepted.append(step)

    assert accepted == sorted(set(accepted))


def test_f11_of_many_at_once_one_gets_in(doorstep: Doorstep) -> None:
    """Four requests bring the same code in the same moment, and one of them is answered well."""
    staff = doorstep.staff()
    code = doorstep.authenticator().now()

    def use(_: int) -> Verdict:
        with writing_session(doorstep.engine) as session:
            return second_factor.check(session, doorstep.settings, staff, code)

    with ThreadPoolExecutor(4) as threads:
        verdicts = list(threads.map(use, range(4)))

    assert verdicts.count(Verdict.GOOD) == 1


def _fresh_staff(doorstep: Doorstep) -> int:
    staff = doorstep.staff()
    with writing_session(doorstep.engine) as session:
        session.execute(sa.update(StaffMember).values(totp_last_step=0))
        session.execute(sa.text("DELETE FROM rate_count"))
    return staff


def test_f12_the_first_step_alone_opens_nothing(doorstep: Doorstep) -> None:
    """After the mail's code no page of the back office opens, by address or in a second tab."""
    doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in(browser, STAFF, Realm.STAFF)

    answers = [browser.get(page) for page in _PAGES]
    flagged = browser.get("/staff/?mfa=1&mfa_at=1&second_factor=done")

    assert {answer.status_code for answer in [*answers, flagged]} == {303}
    assert all(answer.location.startswith("/staff/sign-in?next=") for answer in answers)


def test_f12_the_second_step_alone_opens_nothing(doorstep: Doorstep) -> None:
    """A good code of the app is not even looked at before the first step."""
    doorstep.staff()
    browser = doorstep.browser()
    code = doorstep.authenticator().now()

    answer = submit(browser, "/staff/second-factor", {"code": code}, form="/staff/sign-in")

    assert answer.location == "/staff/sign-in"
    assert not sees_back_office(browser)
    with Session(doorstep.engine) as session:
        assert session.scalars(sa.select(StaffMember.totp_last_step)).all() == [0]


def test_f12_the_first_step_is_forgotten_after_ten_minutes(doorstep: Doorstep) -> None:
    """Somebody who comes back to a half-open door begins anew."""
    doorstep.staff()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.sign_in(browser, STAFF, Realm.STAFF)
        clock.shift(timedelta(minutes=10))

        assert browser.get("/staff/second-factor").location == "/staff/sign-in"


def test_f12_a_donors_session_does_not_count_as_a_step(doorstep: Doorstep) -> None:
    """A colleague who is signed in as a donor with the same address still takes both steps."""
    doorstep.donor(STAFF)
    doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in(browser, STAFF)

    code = doorstep.authenticator().now()
    answer = submit(browser, "/staff/second-factor", {"code": code}, form="/sign-out")

    assert answer.location == "/staff/sign-in"
    assert browser.get("/staff/").status_code == 404


def test_guessing_is_limited(doorstep: Doorstep) -> None:
    """Five codes in five minutes are looked at; then even the right one has to wait."""
    doorstep.staff()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.sign_in(browser, STAFF, Realm.STAFF)
        app = doorstep.authenticator()
        wrong = f"{(int(app.at(int(_NOON.timestamp()))) + 1) % 10**6:06d}"
        statuses = [
            submit(browser, "/staff/second-factor", {"code": wrong}).status_code for _ in range(5)
        ]
        right = app.at(int(_NOON.timestamp()))
        blocked = submit(browser, "/staff/second-factor", {"code": right})
        clock.shift(timedelta(minutes=5))
        right = app.at(int((_NOON + timedelta(minutes=5)).timestamp()))
        after = submit(browser, "/staff/second-factor", {"code": right})

    assert statuses == [422] * 5
    assert blocked.status_code == 429
    assert after.location == "/staff/"


def test_an_app_outlives_a_change_of_the_secret(doorstep: Doorstep) -> None:
    """While the old SECRET_KEY is among the fallbacks, authenticator apps keep working."""
    staff = doorstep.staff()
    code = doorstep.authenticator().now()
    changed = replace(
        doorstep.settings, secret_key="n" * 40, secret_key_fallbacks=(doorstep.settings.secret_key,)
    )

    with writing_session(doorstep.engine) as session:
        assert second_factor.check(session, changed, staff, code) == Verdict.GOOD
