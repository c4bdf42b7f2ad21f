"""The application as tests use it: inside the test, or as processes of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_site import LiveSite, serving
from tests.portal_in_process import Portal, opened_portal
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
    with opened_portal(engine_url, sandbox) as portal:
        yield portal


@pytest.fixture
def site(engine_url: str, sandbox: SandboxProcess, tmp_path: Path) -> Iterator[LiveSite]:
    """The application as a real server process with its worker, on each database."""
    with serving(engine_url, sandbox, tmp_path) as site:
        yield site
