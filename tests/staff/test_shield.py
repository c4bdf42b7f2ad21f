"""The shield's page: what staff see of an attack, and the switch."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import time_machine
from flask.testing import FlaskClient

from donorportal import clock
from donorportal.access.people import Role
from donorportal.audit.models import AuditRecord
from donorportal.db import reading_session, writing_session
from donorportal.giving.shield import alarm, holds, readings, tallies
from donorportal.giving.shield.models import Decline
from donorportal.giving.shield.tallies import What
from donorportal.limits.counting import counted
from tests.access.doorstep import Doorstep, submit

_NOON = datetime(2026, 11, 22, 17, 2, tzinfo=UTC)
"""Two minutes past noon where the organisation is."""


@pytest.fixture
def owner(doorstep: Doorstep) -> FlaskClient:
    """The browser of an owner who is signed in."""
    return _colleague(doorstep, Role.OWNER)


def _colleague(doorstep: Doorstep, role: Role) -> FlaskClient:
    email = f"{role}@example.org"
    doorstep.staff(email, role)
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser, email)
    return browser


def _attack(doorstep: Doorstep) -> None:
    """Let there be seven refusals before the alarm and 412 after it."""
    with writing_session(doorstep.engine) as session:
        for _ in range(7):
            counted(session, tallies.line(What.TRIED), tallies.line(What.ADDRESS))
        alarm.sound(session, "attempts", None)
        for _ in range(415):
            counted(session, tallies.line(What.TRIED), tallies.line(What.ASKED))
        for _ in range(3):
            tallies.tally(session, What.SOLVED)
        for n in range(3):
            row = {"charge_remote_id": f"ch_{n}", "reason": "stolen_card", "at": clock.now()}
            session.add(Decline(**row))


def test_one_banner_tells_every_colleague(doorstep: Doorstep) -> None:
    """A2: on every staff page, one line instead of hundreds of rows; afterwards it is gone."""
    with time_machine.travel(_NOON, tick=False) as now:
        editor = _colleague(doorstep, Role.EDITOR)
        _attack(doorstep)
        pages = [editor.get(path).text for path in ("/staff/", "/staff/style")]
        now.shift(timedelta(minutes=16))
        after = editor.get("/staff/").text

    said = (
        "Card testing: 412 attempts refused since 12:02,"
        " the form asks for proof of work until 12:17."
    )
    assert all(page.count(said) == 1 for page in pages)
    assert "Card testing" not in after


def test_the_page_counts_by_the_hour(doorstep: Doorstep, owner: FlaskClient) -> None:
    """Forms sent, refused, asked and passed, and what the banks said, in figures."""
    with time_machine.travel(_NOON, tick=False):
        _attack(doorstep)
        browser = _colleague(doorstep, Role.SUPPORT)
        page = browser.get("/staff/shield").text

    cells = page.partition("<tbody>")[2].partition("</tbody>")[0]
    figures = [part.partition("<")[0].strip() for part in cells.split('<td class="number">')[1:]]
    assert ["422", "3", "7", "0", "415", "3", "0", "0", "0"] == figures
    assert "stolen_card" in page
    assert "/staff/shield/switches" not in page


def test_only_an_owner_switches_and_it_is_written_down(
    doorstep: Doorstep, owner: FlaskClient
) -> None:
    """On for some hours, off for some hours, or as the counts say; each switch is audited."""
    submit(owner, "/staff/shield/switches", {"to": "on", "hours": "3"}, form="/staff/shield")
    on = _standing(doorstep)
    submit(owner, "/staff/shield/switches", {"to": "off", "hours": "2"}, form="/staff/shield")
    off = _standing(doorstep)
    submit(owner, "/staff/shield/switches", {"to": "auto", "hours": "1"}, form="/staff/shield")

    assert ({holds.SITE}, {holds.OFF}, set()) == (set(on), set(off), set(_standing(doorstep)))
    assert timedelta(hours=3) == on[holds.SITE].until - on[holds.SITE].since
    with reading_session(doorstep.engine) as session:
        acts = session.scalars(
            sa.select(AuditRecord.action).where(AuditRecord.subject == "shield")
        ).all()
    assert ["shield on", "shield off", "shield auto"] == acts


@pytest.mark.parametrize(
    "fields", [{"to": "on", "hours": "0"}, {"to": "on", "hours": "73"}, {"to": "x", "hours": "1"}]
)
def test_a_switch_needs_hours_that_make_sense(
    doorstep: Doorstep, owner: FlaskClient, fields: dict[str, str]
) -> None:
    """What makes no sense changes nothing and is said."""
    answer = submit(owner, "/staff/shield/switches", fields, form="/staff/shield")

    assert 422 == answer.status_code
    assert "from 1 to 72 hours" in answer.text
    assert {} == _standing(doorstep)


def test_switched_off_means_off_whatever_the_counts_say(
    doorstep: Doorstep, owner: FlaskClient
) -> None:
    """While staff want it off, a sign of an attack opens nothing."""
    submit(owner, "/staff/shield/switches", {"to": "off", "hours": "2"}, form="/staff/shield")
    with writing_session(doorstep.engine) as session:
        alarm.sound(session, "declines", None)

    assert not alarm.is_on(_standing(doorstep))
    assert "Switched off" in owner.get("/staff/shield").text


def test_an_owner_lifts_every_block(doorstep: Doorstep, owner: FlaskClient) -> None:
    """A donor on the telephone can try again at once; the alarm is not touched by it."""
    with writing_session(doorstep.engine) as session:
        holds.hold(session, "email:x", timedelta(days=1), why="declines")
        alarm.sound(session, "attempts", None)
    assert "One block is in force" in owner.get("/staff/shield").text

    submit(owner, "/staff/shield/releases", {}, form="/staff/shield")

    assert {holds.SITE} == set(_standing(doorstep, "email:x"))


def test_operators_see_the_same_figures(doorstep: Doorstep) -> None:
    """The counts of the hour, the blocks and the alarm are among the metrics."""
    _attack(doorstep)
    with doorstep.engine.connect() as connection:
        figures = readings.now(connection)

    assert (1.0, 0.0) == (figures["shield_on"], figures["shield_blocks"])
    assert 415.0 == figures['shield_this_hour{what="asked"}']


def _standing(doorstep: Doorstep, *more: str) -> dict[str, holds.Hold]:
    with reading_session(doorstep.engine) as session:
        return holds.standing(session, [holds.SITE, holds.OFF, *more])
