"""Signing in by e-mail: one use, ten minutes, one browser, and nothing learned by asking."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import time_machine

from donorportal.access import signing_in
from donorportal.access.people import Realm
from donorportal.access.signing_in import Outcome
from donorportal.db import writing_session
from donorportal.donors.models import Donor
from tests.access.doorstep import (
    DONOR,
    STRANGER,
    Doorstep,
    cookie,
    is_signed_in,
    submit,
)

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_code_signs_in(doorstep: Doorstep) -> None:
    """Whoever types the code in the browser that asked sees their giving."""
    doorstep.donor()
    browser = doorstep.browser()

    asked = doorstep.ask(browser)
    answer = doorstep.type_code(browser, doorstep.code())

    assert (asked.status_code, asked.location) == (303, "/sign-in/code")
    assert (answer.status_code, answer.location) == (303, "/portal/")
    assert is_signed_in(browser)


def test_a_link_signs_in(doorstep: Doorstep) -> None:
    """Whoever follows the link in the browser that asked, and presses the button, is signed in."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)

    answer = submit(browser, doorstep.link(), {})

    assert (answer.status_code, answer.location) == (303, "/portal/")
    assert is_signed_in(browser)


@pytest.mark.parametrize("spelling", ["{0} {1}", "{0}-{1}", " {0}{1}\t"])
def test_a_code_may_be_typed_as_people_do(doorstep: Doorstep, spelling: str) -> None:
    """Spaces and a hyphen in a code do not matter."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    code = doorstep.code()

    doorstep.type_code(browser, spelling.format(code[:4], code[4:]))

    assert is_signed_in(browser)


def test_f1_a_code_works_once(doorstep: Doorstep) -> None:
    """A code that was used is refused, as is the link of the same mail."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    code, link = doorstep.code(), doorstep.link()
    doorstep.type_code(browser, code)
    with browser.session_transaction() as session:
        session.clear()
        session["asked_donor"] = {"email": DONOR, "next": None}

    again = doorstep.type_code(browser, code)
    followed = submit(browser, link, {}, form="/sign-in")

    assert (again.status_code, followed.status_code) == (410, 410)
    assert "already used" in again.text
    assert "already used" in followed.text
    assert not is_signed_in(browser)


def test_f1_parallel_uses_of_one_code_sign_in_once(doorstep: Doorstep) -> None:
    """Of two windows of one browser that send the same code, the second learns it was used."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    other_window = doorstep.browser()
    for name in ("asked", "session"):
        other_window.set_cookie(name, cookie(browser, name))
    code = doorstep.code()

    first, second = (doorstep.type_code(window, code) for window in (browser, other_window))

    assert (first.status_code, second.status_code) == (303, 410)
    assert not is_signed_in(other_window)


def test_f1_of_many_at_once_one_gets_in(doorstep: Doorstep) -> None:
    """Eight requests bring the same code in the same moment, and one of them is answered well."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    code, secret = doorstep.code(), cookie(browser, "asked")

    def use(_: int) -> Outcome:
        with writing_session(doorstep.engine) as session:
            return signing_in.use_code(
                session, doorstep.settings, realm=Realm.DONOR, typed=code, browser_secret=secret
            ).outcome

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(use, range(8)))

    assert outcomes.count(Outcome.GOOD) == 1


def test_f3_nothing_happens_in_a_browser_that_did_not_ask(doorstep: Doorstep) -> None:
    """The code and the link of one browser open nothing in another, and stay good in the first."""
    doorstep.donor()
    asking, other = doorstep.browser(), doorstep.browser()
    doorstep.ask(asking)
    code, link = doorstep.code(), doorstep.link()
    doorstep.ask(other, STRANGER)

    typed = doorstep.type_code(other, code)
    followed = submit(other, link, {}, form="/sign-in")

    assert (typed.status_code, followed.status_code) == (422, 403)
    assert "type the code" in followed.text
    assert not is_signed_in(other)
    assert not is_signed_in(asking)
    assert doorstep.type_code(asking, code).status_code == 303


def test_f4_scanners_do_not_use_up_a_link(doorstep: Doorstep) -> None:
    """A link that was fetched by HEAD and five times by GET, here or elsewhere, is still good."""
    doorstep.donor()
    browser, scanner = doorstep.browser(), doorstep.browser()
    doorstep.ask(browser)
    link = doorstep.link()

    for visitor in (scanner, browser):
        visitor.head(link)
        for _ in range(5):
            visitor.get(link)

    assert not is_signed_in(scanner)
    assert not is_signed_in(browser)
    assert doorstep.newest().used_at is None
    assert submit(browser, link, {}).status_code == 303


def test_f4_a_scanner_that_presses_the_button_gains_nothing(doorstep: Doorstep) -> None:
    """Pressing the button in another browser signs nobody in and leaves the link good."""
    doorstep.donor()
    browser, scanner = doorstep.browser(), doorstep.browser()
    doorstep.ask(browser)
    link = doorstep.link()

    pressed = submit(scanner, link, {}, form="/sign-in")

    assert pressed.status_code == 403
    assert not is_signed_in(scanner)
    assert submit(browser, link, {}).status_code == 303


@pytest.mark.parametrize(
    ("later", "status"), [(timedelta(minutes=9, seconds=59), 303), (timedelta(minutes=10), 410)]
)
@pytest.mark.parametrize("way", ["code", "link"])
def test_f5_ten_minutes(doorstep: Doorstep, later: timedelta, status: int, way: str) -> None:
    """A code and a link work for just under ten minutes, and then say that they have expired."""
    doorstep.donor()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.ask(browser)
        code, link = doorstep.code(), doorstep.link()
        clock.shift(later)
        if way == "code":
            answer = doorstep.type_code(browser, code)
        else:
            answer = submit(browser, link, {}, form="/sign-in")

        assert answer.status_code == status
        assert ("expired" in answer.text) == (status == 410)
        assert is_signed_in(browser) == (status == 303)


def test_f5_a_clock_that_steps_back_does_not_revive_a_used_code(doorstep: Doorstep) -> None:
    """What was used stays used, whatever time it is thought to be."""
    doorstep.donor()
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False) as clock:
        doorstep.ask(browser)
        code, link = doorstep.code(), doorstep.link()
        submit(browser, link, {})
        submit(browser, "/sign-out", {})
        clock.shift(-timedelta(minutes=5))
        doorstep.ask(browser, STRANGER)

        doorstep.type_code(browser, code)

        assert not is_signed_in(browser)


def test_f6_a_donor_who_was_merged_signs_in_as_the_other(doorstep: Doorstep) -> None:
    """The address of a merged donor opens the giving of the donor they became."""
    old, new = doorstep.donor(), doorstep.donor("kept@example.org")
    with writing_session(doorstep.engine) as session:
        session.execute(sa.update(Donor).where(Donor.id == old).values(merged_into_id=new))
    browser = doorstep.browser()

    doorstep.sign_in(browser)

    with browser.session_transaction() as session:
        assert session["_user_id"] == f"donor:{new}:0"


def test_f6_a_donor_who_is_gone_is_refused(doorstep: Doorstep) -> None:
    """A code asked for before a donor was deleted opens nothing, nor does an older session."""
    donor = doorstep.donor()
    signed_in, asking = doorstep.browser(), doorstep.browser()
    doorstep.sign_in(signed_in)
    doorstep.ask(asking)
    with writing_session(doorstep.engine) as session:
        session.execute(sa.delete(Donor).where(Donor.id == donor))

    answer = doorstep.type_code(asking, doorstep.code())

    assert answer.status_code == 422
    assert not is_signed_in(asking)
    assert not is_signed_in(signed_in)


def test_five_wrong_codes_end_a_request(doorstep: Doorstep) -> None:
    """After five guesses even the right code is refused."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    code = doorstep.code()
    wrong = f"{(int(code) + 1) % 10**8:08d}"

    guesses = [doorstep.type_code(browser, wrong).status_code for _ in range(5)]
    answer = doorstep.type_code(browser, code)

    assert guesses == [422] * 5
    assert answer.status_code == 429
    assert not is_signed_in(browser)


def test_an_address_gets_three_mails_an_hour(doorstep: Doorstep) -> None:
    """The fourth request of an hour is refused with a reason, wherever it comes from."""
    doorstep.donor()
    with time_machine.travel(_NOON, tick=False) as clock:
        answers = [doorstep.ask(doorstep.browser()).status_code for _ in range(4)]
        refused = doorstep.ask(doorstep.browser(), DONOR.upper())
        clock.shift(timedelta(hours=1))
        later = doorstep.ask(doorstep.browser())

    assert answers == [303, 303, 303, 429]
    assert refused.status_code == 429
    assert "ask for another in an hour" in refused.text
    assert later.status_code == 303
    assert len(doorstep.outbox()) == 4


def test_one_place_gets_five_mails_an_hour(doorstep: Doorstep) -> None:
    """The sixth request of an hour from one network address is refused, whatever it asks for."""
    browser = doorstep.browser()
    with time_machine.travel(_NOON, tick=False):
        answers = [doorstep.ask(browser, f"n{n}@example.net").status_code for n in range(6)]

    assert answers == [303] * 5 + [429]


def test_a_network_gets_ten_mails_in_half_an_hour(doorstep: Doorstep) -> None:
    """Neighbours share a limit, so that many addresses of one machine gain little."""
    with time_machine.travel(_NOON, tick=False):
        answers = []
        for n in range(11):
            browser = doorstep.browser()
            browser.environ_base["REMOTE_ADDR"] = f"192.0.2.{n}"
            answers.append(doorstep.ask(browser, f"n{n}@example.net").status_code)

    assert answers == [303] * 10 + [429]


@pytest.mark.parametrize("typed", ["", "no address", "a@b", "x" * 300 + "@example.org"])
def test_what_is_no_address_is_said_to_be_none(doorstep: Doorstep, typed: str) -> None:
    """A slip in the address is answered at the field, and what was typed is still there."""
    answer = doorstep.ask(doorstep.browser(), typed)

    assert answer.status_code == 422
    assert 'id="email-error"' in answer.text
    assert f'value="{typed}"' in answer.text
    assert doorstep.outbox() == []


def test_the_mail_goes_to_the_address_we_know(doorstep: Doorstep) -> None:
    """However an address is typed, its owner's own spelling receives the code."""
    doorstep.donor()

    doorstep.ask(doorstep.browser(), DONOR.upper())

    assert [message.address for message in doorstep.outbox()] == [DONOR]


def test_the_database_holds_nothing_that_opens_a_door(doorstep: Doorstep) -> None:
    """Neither the code nor the link stands in any row that asking leaves behind."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    secret = cookie(browser, "asked")
    secrets = (doorstep.code(), doorstep.link().rpartition("/")[2], secret)

    with doorstep.engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [
            str(connection.execute(sa.select("*").select_from(sa.table(t))).all()) for t in tables
        ]

    assert [secret for secret in secrets if any(secret in row for row in rows)] == []


def test_a_code_outlives_a_change_of_the_secret(doorstep: Doorstep) -> None:
    """While SECRET_KEY is being replaced, codes made with the one before still work."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)
    code = doorstep.code()
    changed = replace(
        doorstep.settings, secret_key="n" * 40, secret_key_fallbacks=(doorstep.settings.secret_key,)
    )
    doorstep.app.extensions["settings"] = changed

    assert doorstep.type_code(browser, code).status_code == 303


def test_after_signing_in_the_wanted_page_comes(doorstep: Doorstep) -> None:
    """Somebody who was sent to sign in arrives where they were going."""
    doorstep.donor()
    browser = doorstep.browser()
    sent = browser.get("/portal/gifts?year=2025")
    form = browser.get(sent.location)
    submit(browser, "/sign-in", {"email": DONOR, "next": "/portal/gifts?year=2025"})

    answer = doorstep.type_code(browser, doorstep.code())

    assert sent.status_code == 303
    assert 'name="next" value="/portal/gifts?year=2025"' in form.text
    assert answer.location == "/portal/gifts?year=2025"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "portal/",
        "http:/evil.example",
        "/\u2028x",
        "",
    ],
)
def test_nobody_is_sent_elsewhere(doorstep: Doorstep, target: str) -> None:
    """A page to return to that is not a path of ours is forgotten."""
    doorstep.donor()
    browser = doorstep.browser()
    submit(browser, "/sign-in", {"email": DONOR, "next": target})

    answer = doorstep.type_code(browser, doorstep.code())

    assert answer.location == "/portal/"


def test_signing_in_can_be_done_with_the_address_of_the_link_cut_off(doorstep: Doorstep) -> None:
    """A link that lost its end says so, and offers to ask again."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)

    answer = browser.get(doorstep.link()[:-3])

    assert answer.status_code == 404
    assert "not complete" in answer.text
