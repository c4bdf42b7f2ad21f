"""A message of the outbox is sent once, and what became of it is recorded."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from donorportal.config import Settings
from donorportal.db import reading_session, tune, writing_session
from donorportal.jobs.models import Job, JobState, Queue
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import Run, drain
from donorportal.mail import outbox
from donorportal.mail.models import OutboxMessage, OutboxState, Suppression
from donorportal.mail.sending import send_message
from donorportal.mail.suppression import RECEIPTS, is_suppressed, suppress
from donorportal.mail.transport import SmtpTransport
from tests.mail.conftest import at
from tests.mail.relay import Behaviour, Relay

StartRelay = Callable[..., Relay]
INVITATION = {"role": "owner", "link": "http://localhost:8000/staff/invitation/x"}


def _queue(engine: sa.Engine, settings: Settings, *, address: str = "ada@example.org") -> int:
    with writing_session(engine) as session:
        message = outbox.queue(
            session,
            "staff-invitation",
            address=address,
            key="invitation:1",
            context=INVITATION,
            domain=settings.mail_domain,
        )
        assert message is not None
        enqueue(session, "mail.send", queue=Queue.MAIL, message=message)
    return message


def _drain(engine: sa.Engine, settings: Settings, lease: float = 60) -> int:
    transport = SmtpTransport(settings)

    def send(run: Run, message: int) -> None:
        send_message(run, settings, transport, message=message)

    return drain(engine, {"mail.send": send}, queue=Queue.MAIL, lease=timedelta(seconds=lease))


def _row(engine: sa.Engine) -> OutboxMessage:
    with reading_session(engine) as session:
        return session.scalars(sa.select(OutboxMessage)).one()


def _job(engine: sa.Engine) -> Job:
    with reading_session(engine) as session:
        return session.scalars(sa.select(Job)).one()


def test_a_queued_message_is_sent_and_recorded(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """The relay gets the message once; its answer and the time are kept with the row."""
    relay = start_relay()
    _queue(engine, mail_settings)

    _drain(engine, at(mail_settings, relay))

    row = _row(engine)
    assert (row.state, row.reply, row.attempts) == (OutboxState.SENT, "250 taken as 1", 1)
    assert row.sent_at is not None
    assert _job(engine).state == JobState.DONE
    (accepted,) = relay.accepted
    assert f"Message-ID: {row.message_id}\r\n".encode() in accepted.octets
    assert row.message_id.endswith("@opendoor.example>")


def test_the_same_key_is_mailed_once(engine: sa.Engine, mail_settings: Settings) -> None:
    """A second message under a known key is not queued."""
    _queue(engine, mail_settings)

    with writing_session(engine) as session:
        again = outbox.queue(
            session,
            "staff-invitation",
            address="ada@example.org",
            key="invitation:1",
            context=INVITATION,
            domain=mail_settings.mail_domain,
        )

    assert again is None


def test_a_message_that_was_sent_is_not_sent_again(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """A second job for the same message does nothing."""
    relay = start_relay()
    message = _queue(engine, mail_settings)
    with writing_session(engine) as session:
        enqueue(session, "mail.send", queue=Queue.MAIL, message=message)

    assert _drain(engine, at(mail_settings, relay)) == 2

    assert len(relay.accepted) == 1


def test_a_refused_message_is_failed_and_not_tried_again(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """5xx is recorded with the relay's words, for staff to see."""
    relay = start_relay(Behaviour(rcpt="550 5.1.1 no such user"))
    _queue(engine, mail_settings)

    _drain(engine, at(mail_settings, relay))

    row = _row(engine)
    assert (row.state, row.reply) == (OutboxState.FAILED, "550 5.1.1 no such user")
    assert _job(engine).state == JobState.DONE


def test_a_deferred_message_stays_queued_and_is_sent_later(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """4xx is noted with the row, and the job tries again after a pause."""
    relay = start_relay(Behaviour(rcpt="450 4.2.1 <ada@example.org> greylisted"))
    _queue(engine, mail_settings)

    _drain(engine, at(mail_settings, relay))
    row, job = _row(engine), _job(engine)
    relay.behaviour.rcpt = "250 ok"
    with writing_session(engine) as session:
        session.execute(sa.update(Job).values(run_at=Job.created_at))
    _drain(engine, at(mail_settings, relay))

    assert (row.state, row.attempts) == (OutboxState.QUEUED, 1)
    assert (row.reply or "").startswith("450 4.2.1")
    assert (job.state, job.attempts) == (JobState.READY, 1)
    assert "ada@" not in (job.error or "")
    assert (_row(engine).state, _row(engine).attempts) == (OutboxState.SENT, 2)
    assert len(relay.accepted) == 1


def test_a_suppressed_address_is_not_written_to(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """The suppression is looked up when the message is sent, in any spelling of the address."""
    relay = start_relay()
    _queue(engine, mail_settings, address="ada@example.org")
    with writing_session(engine) as session:
        suppress(
            session, mail_settings, address=" Ada@Example.org", stream=RECEIPTS, reason="5.1.1"
        )

    _drain(engine, at(mail_settings, relay))

    assert _row(engine).state == OutboxState.SUPPRESSED
    assert relay.commands == []


def test_a_suppression_keeps_no_address_and_survives_a_new_secret(
    engine: sa.Engine, mail_settings: Settings
) -> None:
    """Only a keyed hash is stored, and an earlier secret still finds it."""
    with writing_session(engine) as session:
        for expected in (True, False):
            added = suppress(
                session, mail_settings, address="ada@example.org", stream="updates", reason="asked"
            )
            assert added is expected
    rotated = replace(
        mail_settings,
        secret_key="another secret that only these tests use",
        secret_key_fallbacks=(mail_settings.secret_key,),
    )

    with reading_session(engine) as session:
        kept = session.scalars(sa.select(Suppression.address_hash)).one()
        found = [
            is_suppressed(session, one, address="ada@example.org", stream=stream)
            for one in (mail_settings, rotated)
            for stream in ("updates", RECEIPTS)
        ]

    assert len(kept) == 64
    assert found == [True, False, True, False]


def test_secrets_reach_the_mail_but_not_the_database(
    engine: sa.Engine, mail_settings: Settings, start_relay: StartRelay
) -> None:
    """What opens a door is handed over at the moment of sending."""
    relay = start_relay()
    settings = at(mail_settings, relay)
    with writing_session(engine) as session:
        message = outbox.queue(
            session,
            "staff-invitation",
            address="ada@example.org",
            key="invitation:2",
            context={"role": "owner"},
            domain=settings.mail_domain,
        )
        enqueue(session, "invite", message=message)

    def send(run: Run, message: int) -> None:
        secrets = {"link": "http://localhost:8000/secret-link"}
        send_message(run, settings, SmtpTransport(settings), message=message, secrets=secrets)

    drain(engine, {"invite": send})

    assert b"secret-link" in relay.accepted[0].octets
    assert _row(engine).context == {"role": "owner"}


def _send_and_be_killed(url: str, settings: Settings) -> None:
    """Work until killed; the relay kills this process at a moment of the test's choice."""
    engine = sa.create_engine(url)
    tune(engine)
    while True:
        _drain(engine, settings, lease=0.3)
        time.sleep(0.02)


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_a_worker_killed_around_the_answer_causes_one_second_copy_at_most(
    engine: sa.Engine,
    engine_url: str,
    mail_settings: Settings,
    start_relay: StartRelay,
    moment: str,
) -> None:
    """Between the relay's yes and our record a kill costs one more copy, with the same id."""
    victims: list[int] = []

    def kill() -> None:
        if victims:
            os.kill(victims.pop(), signal.SIGKILL)

    # "After" kills once the answer is on its way; the worker may or may not have read it.
    relay = start_relay(on_accepted=kill if moment == "before the answer" else lambda: None)
    settings = at(mail_settings, relay)
    _queue(engine, settings)
    context = multiprocessing.get_context("forkserver")
    worker = context.Process(target=_send_and_be_killed, args=(engine_url, settings), daemon=True)
    worker.start()
    victims.append(worker.pid or 0)
    deadline = time.monotonic() + 40
    while not relay.accepted and time.monotonic() < deadline:
        time.sleep(0.001)
    kill()
    worker.join()
    worker.close()

    while _row(engine).state != OutboxState.SENT and time.monotonic() < deadline:
        _drain(engine, settings, lease=0.3)
        time.sleep(0.05)

    assert _row(engine).state == OutboxState.SENT
    assert len(relay.accepted) == 2 if moment == "before the answer" else len(relay.accepted) <= 2
    ids = {
        line
        for one in relay.accepted
        for line in one.octets.split(b"\r\n")
        if b"Message-ID" in line
    }
    assert len(ids) == 1
