"""A letter is a message and the job that sends it, both or neither."""

from typing import Any

import pytest
import sqlalchemy as sa

from donorportal import letters
from donorportal.config import Settings
from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, Queue
from donorportal.mail.models import OutboxMessage

ADA = "ada@example.org"


def _write(engine: sa.Engine, settings: Settings, key: str, **more: Any) -> bool:
    with writing_session(engine) as session:
        return letters.write(
            session,
            settings,
            "staff-invitation",
            address=ADA,
            key=key,
            context={"role": "owner"},
            **more,
        )


def _write_and_fail(engine: sa.Engine, settings: Settings) -> None:
    with writing_session(engine) as session:
        letters.write(
            session, settings, "staff-invitation", address=ADA, key="invitation:1", context={}
        )
        raise ZeroDivisionError


def _kept(engine: sa.Engine) -> tuple[list[OutboxMessage], list[Job]]:
    with reading_session(engine) as session:
        return list(session.scalars(sa.select(OutboxMessage))), list(
            session.scalars(sa.select(Job))
        )


def test_a_letter_is_a_message_and_its_job(engine: sa.Engine, mail_settings: Settings) -> None:
    """Both rows are there, tied by the message's id, under keys that follow from one."""
    assert _write(engine, mail_settings, "invitation:1")

    (message,), (job,) = _kept(engine)
    assert ("invitation:1", ADA) == (message.key, message.address)
    assert ("mail.send", Queue.MAIL, "mail:invitation:1") == (job.task, job.queue, job.key)
    assert {"message": message.id} == job.args
    assert 32 == job.max_attempts


def test_a_letter_is_written_once(engine: sa.Engine, mail_settings: Settings) -> None:
    """The same key again adds neither a message nor a job."""
    _write(engine, mail_settings, "invitation:1")

    assert not _write(engine, mail_settings, "invitation:1")

    assert (1, 1) == tuple(len(rows) for rows in _kept(engine))


def test_a_letter_goes_with_its_cause(engine: sa.Engine, mail_settings: Settings) -> None:
    """If the transaction fails, there is no letter, and the key is still free."""
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(engine, mail_settings)

    assert ([], []) == _kept(engine)
    assert _write(engine, mail_settings, "invitation:1")


def test_another_task_may_send_it(engine: sa.Engine, mail_settings: Settings) -> None:
    """A letter with secrets is sent by a task of its own, which gets row ids, as often as told."""
    _write(
        engine, mail_settings, "invitation:1", task="access.mail_invitation", attempts=8, staff=7
    )

    (message,), (job,) = _kept(engine)
    assert ("access.mail_invitation", 8) == (job.task, job.max_attempts)
    assert {"message": message.id, "staff": 7} == job.args
