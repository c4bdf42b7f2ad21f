"""The repository keeps its own promises: locks, settings, no trace of a machine, `./dev`."""

import inspect
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from donorportal.config import Settings

ROOT = Path(__file__).resolve().parent.parent
_IGNORED = {
    ".git",
    ".venv",
    "var",
    "build",
    "dist",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
}
_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)
# Written in pieces, so that this file does not contain what it forbids.
_PACKAGE_INDEX = re.compile(r"pypi\." + r"org|pythonhosted\." + r"org|[a-z]+://[^/\s]*/simple\b")
_MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:" + "root" + "|work|home/[a-z]+|Users/[a-z]+)" + r"/\w")
_BINARY = {".woff2", ".png", ".jpg", ".webp", ".avif", ".ico", ".pdf"}


def _files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in _IGNORED]
        for name in names:
            path = Path(folder) / name
            if path.suffix not in _BINARY and path.name != ".env":
                yield path


def _pins(lock: str) -> dict[str, str]:
    return dict(_PIN.findall((ROOT / lock).read_text()))


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in _files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_development_has_exactly_the_versions_that_production_has() -> None:
    """Every pin of the runtime lock is in the development lock too."""
    runtime = _pins("requirements.lock")
    development = _pins("requirements-dev.lock")

    assert runtime
    assert {name: development.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_a_hash(lock: str) -> None:
    """A package whose content changed under the same version is refused."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())

    assert [
        entry[:60] for entry in entries if "==" in entry and "--hash=sha256:" not in entry
    ] == []


def test_no_file_names_a_package_index() -> None:
    """Whoever installs uses the index their own pip is configured for."""
    assert _lines_with(_PACKAGE_INDEX) == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    """The repository works from wherever it was cloned to."""
    assert _lines_with(_MACHINE_PATH) == []


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    """The example file lists what config.py reads, no more and no less."""
    source = inspect.getsource(inspect.getmodule(Settings) or Settings)
    read = set(re.findall(r'\bread\.\w+\(\s*"([A-Z_]+)"', source))
    documented = re.findall(
        r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE
    )

    assert sorted(documented) == sorted(read)


def test_dev_alone_explains_itself() -> None:
    """Who types ./dev and nothing else learns the commands, without anything being set up."""
    done = subprocess.run(
        [sys.executable, ROOT / "dev"], cwd="/", check=True, capture_output=True, text=True
    )

    for command in ("up", "test", "check", "bench", "lock"):
        assert re.search(rf"^  {command}\b", done.stdout, re.MULTILINE)


def test_dev_refuses_a_command_it_does_not_have() -> None:
    """A misspelt command is an error, not a help page that looks like success."""
    done = subprocess.run([sys.executable, ROOT / "dev", "tset"], check=False, capture_output=True)

    assert done.returncode == 2


def test_dev_up_names_the_option_when_its_port_is_taken() -> None:
    """A taken port is said before anything starts, with the way around it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, ROOT / "dev", "up", "--port", str(port)],
            check=False,
            capture_output=True,
            text=True,
        )

    assert done.returncode == 1
    assert f"cannot use port {port}" in done.stderr
    assert f"./dev up --port {port + 1}" in done.stderr


def test_the_throw_away_server_dies_with_its_owner() -> None:
    """Even a test run that is killed outright leaves no PostgreSQL and no files behind."""
    program = """if True:
        import time
        from tests.devpg import DevPostgres
        server = DevPostgres()
        print(server.url(), flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip().partition("host=")[2])
        assert (folder / "postmaster.pid").exists()

        owner.kill()

    deadline = time.monotonic() + 20
    while folder.parent.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.parent.exists()
