"""The application as tests use it: inside the test, or as processes of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from donorportal.app import create_app
from donorportal.db import db, writing_session
from donorportal.giving.starting import base_data
from tests.live_site import LiveSite, serving
from tests.portal_in_process import Portal, settings_for
from tests.sandboxproc import SandboxProcess


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One sandbox for all tests of this worker."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox") / "sandbox.db", smtp=True)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """The sandbox, empty and with its knobs as they are by default."""
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture
def portal(engine_url: str, sandbox: SandboxProcess) -> Iterator[Portal]:
    """The application inside the test, on each database, with designations and topics."""
    settings = settings_for(engine_url, sandbox)
    app = create_app(settings)
    gateway = app.extensions["gateway"]
    gateway.set_up(public_url="http://localhost:9", organisation=settings.organisation.name)
    sandbox.knobs(webhook_timing="never")
    portal = Portal(app, settings, sandbox, gateway)
    with writing_session(portal.engine) as session:
        base_data(session)
    yield portal
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def site(engine_url: str, sandbox: SandboxProcess, tmp_path: Path) -> Iterator[LiveSite]:
    """The application as a real server process with its worker, on each database."""
    with serving(engine_url, sandbox, tmp_path) as site:
        yield site
