"""The mails that open doors: they hold what the database does not, and it works."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from flask.testing import FlaskClient

from donorportal import clock
from donorportal.access import forgetting, staff_accounts
from donorportal.access.models import SignIn
from donorportal.access.people import Realm, Role
from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Queue
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import drain
from donorportal.limits.models import RateCount
from donorportal.mail.transport import Outgoing
from donorportal.worker import build_tasks
from tests.access.doorstep import (
    DONOR,
    STAFF,
    STRANGER,
    Doorstep,
    is_signed_in,
    sees_back_office,
    submit,
)


class Mailbox:
    """Takes what is sent, as a relay would."""

    def __init__(self) -> None:
        self.received: list[Outgoing] = []

    def send(self, outgoing: Outgoing) -> str:
        """Keep a message and say yes."""
        self.received.append(outgoing)
        return "250 ok"


@pytest.fixture
def mailbox(doorstep: Doorstep) -> Mailbox:
    """A relay that keeps everything."""
    return Mailbox()


def _deliver(doorstep: Doorstep, mailbox: Mailbox) -> Outgoing:
    """Let the worker send what is queued; return the last message."""
    tasks = build_tasks(doorstep.settings, doorstep.app.extensions["gateway"], mailbox)
    drain(doorstep.engine, tasks, queue=Queue.MAIL)
    return mailbox.received[-1]


def test_the_mailed_code_signs_in(doorstep: Doorstep, mailbox: Mailbox) -> None:
    """The eight digits in the mail, typed as they stand there, sign the donor in."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)

    mail = _deliver(doorstep, mailbox)
    code = re.search(r"\b\d{4} \d{4}\b", mail.words.text)
    assert code is not None
    doorstep.type_code(browser, code[0])

    assert mail.recipient == DONOR
    assert code[0] in mail.words.html
    assert code[0] in mail.words.subject
    assert is_signed_in(browser)


@pytest.mark.parametrize(("realm", "lands_on"), [("donor", "/portal/"), ("staff", "/staff/second")])
def test_the_mailed_link_leads_in(
    doorstep: Doorstep, mailbox: Mailbox, realm: str, lands_on: str
) -> None:
    """The link in the mail, opened where it was asked for, leads on from the right door."""
    doorstep.donor()
    doorstep.staff()
    browser = doorstep.browser()
    doorstep.ask(browser, STAFF if realm == "staff" else DONOR, Realm(realm))

    answer = submit(browser, _link(_deliver(doorstep, mailbox)), {})

    assert answer.location.startswith(lands_on)


def test_a_stranger_is_told_that_there_is_nothing(doorstep: Doorstep, mailbox: Mailbox) -> None:
    """An address we do not know gets a plain word, and nothing that opens a door."""
    browser = doorstep.browser()
    doorstep.ask(browser, STRANGER)

    mail = _deliver(doorstep, mailbox)

    assert mail.recipient == STRANGER
    assert "know no gift" in " ".join(mail.words.text.split())
    assert re.search(r"\d{4} ?\d{4}", mail.words.text + mail.words.html) is None
    assert "/sign-in/" not in mail.words.text + mail.words.html


def test_the_mailed_invitation_enrols(doorstep: Doorstep, mailbox: Mailbox) -> None:
    """A new colleague comes from the link in the mail to the back office."""
    with writing_session(doorstep.engine) as session:
        link = staff_accounts.invite(session, doorstep.settings, STAFF, Role.FINANCE)
    mail = _deliver(doorstep, mailbox)
    browser: FlaskClient = doorstep.browser()

    submit(browser, _link(mail), {"code": doorstep.authenticator().now()})

    assert link.endswith(_link(mail))
    assert mail.recipient == STAFF
    assert sees_back_office(browser)


def test_what_signing_in_leaves_behind_is_deleted(doorstep: Doorstep, mailbox: Mailbox) -> None:
    """Old requests, which name people, and old counts go; today's stay."""
    with time_machine.travel(clock.now() - timedelta(days=9)):
        doorstep.ask(doorstep.browser(), "long.ago@example.org")
    doorstep.ask(doorstep.browser())
    with writing_session(doorstep.engine) as session:
        enqueue(session, forgetting.FORGET_TASK)

    tasks = build_tasks(doorstep.settings, doorstep.app.extensions["gateway"], mailbox)
    drain(doorstep.engine, tasks)

    with reading_session(doorstep.engine) as session:
        assert session.scalars(sa.select(SignIn.email_key)).all() == [DONOR]
        days = {row.date() for row in session.scalars(sa.select(RateCount.window_start))}
    assert days == {clock.now().date()}


def test_every_mail_opens_only_its_own_recipients_door(
    doorstep: Doorstep, mailbox: Mailbox
) -> None:
    """With several requests in the queue at once, each mail carries its own recipient's code."""
    people = [f"n{n}@example.org" for n in range(3)]
    browsers = {}
    for email in people:
        doorstep.donor(email)
        browsers[email] = doorstep.browser()
        doorstep.ask(browsers[email], email)
    _deliver(doorstep, mailbox)

    for mail in mailbox.received:
        submit(browsers[mail.recipient], _link(mail), {})
        assert is_signed_in(browsers[mail.recipient])
        shown = browsers[mail.recipient].get("/sign-out").text
        assert [email for email in people if email in shown] == [mail.recipient]


def _link(mail: Outgoing) -> str:
    found = re.search(r"http://localhost(/\S+)", mail.words.text)
    assert found is not None
    return found[1]
