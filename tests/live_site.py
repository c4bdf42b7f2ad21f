"""The application as a server process of its own, which tests can kill and start again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from donorportal import clock
from donorportal.db import tune, writing_session
from donorportal.giving.starting import base_data
from donorportal.jobs.models import Job, JobState
from donorportal.payments.stripe_gateway import StripeGateway
from tests.portal_in_process import environment_for
from tests.ports import free_port
from tests.sandboxproc import ROOT, SandboxProcess

_PATIENCE_SECONDS = 30.0


class LiveSite:
    """One ``donorportal serve`` over a database, registered with the sandbox."""

    def __init__(
        self, database_url: str, engine: sa.Engine, sandbox: SandboxProcess, folder: Path
    ) -> None:
        self.engine = engine
        self.sandbox = sandbox
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self._log = folder / "site.log"
        self._environment = environment_for(
            database_url, sandbox, PUBLIC_URL=self.url, EMBEDDED_WORKER="on"
        )
        self._process: subprocess.Popen[bytes] | None = None
        gateway = StripeGateway(
            self._environment["STRIPE_SECRET_KEY"],
            api_base=self._environment["STRIPE_API_BASE"],
        )
        self._environment["STRIPE_WEBHOOK_SECRETS"] = gateway.set_up(
            public_url=self.url, organisation="Open Door"
        )

    def start(self, **environment: str) -> None:
        """Start the server, with *environment* on top, and wait until it is ready."""
        command = [sys.executable, "-c", "from donorportal.cli import main; main()", "serve"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env={"PATH": os.environ["PATH"], **self._environment, **environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(self._is_ready, "the site to be ready")

    def stop(self) -> None:
        """End the server in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server and everything it started, as a crash would."""
        self._end(signal.SIGKILL)

    def crash(self) -> None:
        """Kill the process that serves and works; the one that watches it starts another."""
        assert self._process is not None
        for child in _children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def skip_waiting(self) -> None:
        """Let the pauses of failed jobs, and the leases of dead workers, be over."""
        with writing_session(self.engine) as session:
            session.execute(
                sa.update(Job)
                .where(Job.state == JobState.READY)
                .values(run_at=clock.now(), owner=None)
            )

    def finish_work(self) -> None:
        """Wait until no job is left to do."""
        left = sa.select(sa.func.count()).where(Job.state == JobState.READY)
        self.until(lambda: self.scalar(left) == 0, "all jobs to be done")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until *condition* is true and return what it returned."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"waited in vain for {what}\n{self._log.read_text()[-3000:]}")

    def scalar(self, statement: "sa.Select[*tuple[Any, ...]]") -> Any:
        """Return the first value of a query."""
        with self.engine.connect() as connection:
            return connection.execute(statement).scalar()

    def rows(self, statement: "sa.Select[*tuple[Any, ...]]") -> list[Any]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(statement).all())

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        self._process.wait(30)
        self._process = None


@contextmanager
def serving(database_url: str, sandbox: SandboxProcess, folder: Path) -> Iterator[LiveSite]:
    """Serve from a migrated database, with designations and topics, until the block ends."""
    engine = sa.create_engine(database_url)
    tune(engine)
    with writing_session(engine) as session:
        base_data(session)
    site = LiveSite(database_url, engine, sandbox, folder)
    site.start()
    try:
        yield site
    finally:
        site.stop()
        engine.dispose()


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]
