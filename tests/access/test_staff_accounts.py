"""Who works here: the commands that list staff members and shut them out."""

import os
import subprocess
import sys
from datetime import timedelta
from threading import Thread

import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.access import staff_accounts
from donorportal.access.models import StaffMember
from donorportal.access.people import Realm, Role
from donorportal.access.staff_accounts import LastOwner, Standing
from donorportal.audit.models import AuditRecord
from donorportal.db import reading_session, writing_session
from tests.access.doorstep import STAFF, Doorstep
from tests.sandboxproc import ROOT

OTHER = "cyan.douro@example.org"


def run(doorstep: Doorstep, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of `donorportal staff` on the doorstep's database."""
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": doorstep.settings.secret_key,
        "DATABASE_URL": doorstep.engine.url.render_as_string(hide_password=False),
        "PUBLIC_URL": doorstep.settings.public_url,
        "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRETS": "whsec_tests",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": "9",
        "MAIL_SECURITY": "none",
        "MAIL_FROM": "Open Door <giving@example.org>",
        "EMBEDDED_WORKER": "off",
        "ORGANISATION_ADDRESS": "1 Example Street|Springfield, XX 00000",
    }
    command = [sys.executable, "-c", "from donorportal.cli import main; main()", "staff", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=False
    )


def standings(doorstep: Doorstep) -> dict[str, Standing]:
    """Return everybody's standing by address."""
    with reading_session(doorstep.engine) as session:
        return {one.email: one.standing for one in staff_accounts.everybody(session)}


def audited(doorstep: Doorstep) -> list[tuple[str, str, str]]:
    """Return who disabled whom, according to the audit trail."""
    with reading_session(doorstep.engine) as session:
        rows = session.execute(
            sa.select(AuditRecord.actor, AuditRecord.action, AuditRecord.subject).where(
                AuditRecord.action == "disable"
            )
        )
        return [(actor, action, subject) for actor, action, subject in rows]


def test_the_command_shuts_a_colleague_out(doorstep: Doorstep) -> None:
    """It says what happened, ends their sessions, lets them begin none, and is on record once."""
    doorstep.staff(OTHER)
    staff = doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser)
    assert 200 == browser.get("/staff/").status_code

    done = run(doorstep, "disable", STAFF.upper())
    again = run(doorstep, "disable", STAFF)

    assert (0, 0) == (done.returncode, again.returncode), done.stderr
    assert "signed out everywhere at once and cannot sign in" in done.stdout
    assert "disabled before. Nothing was changed." in again.stdout
    assert 200 != browser.get("/staff/").status_code
    doorstep.ask(doorstep.browser(), STAFF, Realm.STAFF)
    assert "sign-in-unknown" == doorstep.outbox()[-1].kind
    assert [("system", "disable", f"staff:{staff}")] == audited(doorstep)


def test_the_last_owner_stays(doorstep: Doorstep) -> None:
    """Colleagues without the role, invited or disabled ones do not count as owners."""
    doorstep.staff()
    doorstep.staff(OTHER, Role.FINANCE)
    with writing_session(doorstep.engine) as session:
        staff_accounts.invite(session, doorstep.settings, "new@example.org", Role.OWNER)

    refused = run(doorstep, "disable", STAFF)

    assert 1 == refused.returncode
    assert f"{STAFF} is the last active owner" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert Standing.ACTIVE == standings(doorstep)[STAFF]
    assert [] == audited(doorstep)


@pytest.mark.parametrize("email", ["nobody@example.net", "not an address"])
def test_a_stranger_cannot_be_disabled(doorstep: Doorstep, email: str) -> None:
    """An address that belongs to nobody here, or is none, is said so with exit 1."""
    refused = run(doorstep, "disable", email)

    assert 1 == refused.returncode
    assert "Nothing was changed." in refused.stderr
    assert "Traceback" not in refused.stderr


def test_two_owners_cannot_shut_each_other_out(doorstep: Doorstep) -> None:
    """Whoever disables the other owner meanwhile waits, and then finds only one left."""
    one, other = doorstep.staff(), doorstep.staff(OTHER)
    outcomes: list[object] = []

    def disable_meanwhile() -> None:
        try:
            with writing_session(doorstep.engine) as session:
                outcomes.append(staff_accounts.disable(session, one, actor="system"))
        except LastOwner:
            outcomes.append(LastOwner)

    thread = Thread(target=disable_meanwhile)
    with writing_session(doorstep.engine) as session:
        staff_accounts.disable(session, other, actor="system")
        thread.start()
        thread.join(0.5)
        assert [] == outcomes
    thread.join(10)

    assert [LastOwner] == outcomes
    assert {STAFF: Standing.ACTIVE, OTHER: Standing.DISABLED} == standings(doorstep)


def test_the_list_shows_where_everybody_stands(doorstep: Doorstep) -> None:
    """Each staff member has a line with address, role and standing."""
    nobody = run(doorstep, "list")
    doorstep.staff()
    out = doorstep.staff(OTHER, Role.FINANCE)
    with writing_session(doorstep.engine) as session:
        staff_accounts.invite(session, doorstep.settings, "new@example.org", Role.EDITOR)
        staff_accounts.invite(session, doorstep.settings, "late@example.org", Role.SUPPORT)
        session.execute(
            sa.update(StaffMember)
            .where(StaffMember.email == "late@example.org")
            .values(invited_at=clock.now() - timedelta(days=8))
        )
        staff_accounts.disable(session, out, actor="system")

    shown = run(doorstep, "list")

    assert "Nobody yet" in nobody.stdout
    assert [
        f"{STAFF}  owner     active",
        f"{OTHER:<{len(STAFF)}}  finance   disabled",
        f"{'new@example.org':<{len(STAFF)}}  editor    invited",
        f"{'late@example.org':<{len(STAFF)}}  support   invitation expired",
    ] == [line.rstrip() for line in shown.stdout.splitlines()]
