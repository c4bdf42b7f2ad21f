"""`./dev up` brings everything up from nothing, and takes all of it down again."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 60


@dataclass(frozen=True)
class Running:
    """A `./dev up` that has said where everything is."""

    process: subprocess.Popen[str]
    said: str
    site: str
    sandbox: str


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that does not exist before the first start and is kept until the second."""
    return tmp_path_factory.mktemp("up") / "var"


@contextmanager
def _up(data: Path) -> Iterator[Running]:
    ports = _free_ports()
    command = [sys.executable, str(ROOT / "dev"), "up", "--data", str(data)]
    command += ["--port", str(ports[0]), "--sandbox-port", str(ports[1])]
    settings = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    with subprocess.Popen(
        command, cwd="/", env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        try:
            site, sandbox = (f"http://localhost:{port}" for port in ports)
            yield Running(process, said, site, sandbox)
        finally:
            process.terminate()


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in (one, other)]


def _status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:
        status: int = answer.status
        return status


def _is_up(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def test_one_command_brings_up_a_site_with_content_and_takes_it_down(data: Path) -> None:
    """From nothing: site, sandbox and mailbox answer, each address is printed, SIGTERM ends all."""
    with _up(data) as running:
        assert running.site in running.said
        assert running.sandbox in running.said
        assert [_status(running.site + path) for path in ("/", "/give", "/readyz")] == [200] * 3
        assert _status(running.sandbox + "/") == 200

        running.process.send_signal(signal.SIGTERM)

        assert running.process.wait(_STOP_SECONDS) == 0
        assert not _is_up(running.site)
        assert not _is_up(running.sandbox)


def test_when_one_process_dies_the_rest_is_stopped_and_the_dead_one_named(data: Path) -> None:
    """A site that was killed does not leave a sandbox behind that blocks the next start."""
    with _up(data) as running:
        assert running.process.stdout is not None
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        if not children.exists():
            pytest.skip("this system does not list a process's children")
        site = next(
            int(pid)
            for pid in children.read_text().split()
            if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        )

        os.kill(site, signal.SIGKILL)

        assert running.process.wait(_STOP_SECONDS) == 1
        assert re.search(r"the site ended by itself with status -9", running.process.stdout.read())
        assert not _is_up(running.sandbox)
