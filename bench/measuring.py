"""Servers as process trees, requests sent to them one after the other, and the CPU they took."""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send."""

    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that came."""

    status: int
    body: bytes
    headers: http.client.HTTPMessage


class Server:
    """One gunicorn with sync workers, in a process tree of its own."""

    def __init__(self, application: str, environment: dict[str, str], *, workers: int = 1) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        options = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(workers)]
        options += ["--log-level", "error"]
        # The log is written as in production, and shown if the server does not start.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "gunicorn", "--no-control-socket", *options, application],
            env={"PATH": os.defpath, **environment},
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            cwd=Path(__file__).parent.parent,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.send(Call("/healthz"))
            except OSError:
                time.sleep(0.05)
            else:
                return self
        self._process.kill()
        self._log.seek(0)
        raise RuntimeError(f"the server did not start: {self._log.read().decode()[-2000:]}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(_START_SECONDS)
        self._log.close()

    def send(self, call: Call) -> Answer:
        """Send one request and read the whole answer; a sync worker closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Host": "localhost", **call.headers}
        connection.request(call.method, call.path, call.body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.read(), response.headers)
        connection.close()
        return answer

    @property
    def pid(self) -> int:
        """The process that started the server's others."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return what the server's processes have used so far."""
        return tree_cpu_seconds(self._process.pid)

    def largest_worker_mib(self) -> float:
        """Return the proportional memory of the largest worker, in MiB."""
        workers = [pid for pid in tree(self._process.pid) if pid != self._process.pid]
        return max(map(_pss_mib, workers))


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds of one request, and requests a second, as medians over the rounds."""

    cpu_ms: float
    rate: float


class Contest:
    """Servers that answer the same calls in turns, so that a noisy moment hits all of them."""

    def __init__(self, database_pid: int, *, rounds: int) -> None:
        self.database_pid = database_pid
        self.rounds = rounds

    def run(
        self, sides: dict[str, tuple[Server, Callable[[int], Sequence[Call]]]], *, expected: int
    ) -> dict[str, Cost]:
        """Measure every side; each side makes its calls for a round, -1 being the warm-up."""
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for number in range(-1, self.rounds):
            for name, (server, calls_of) in sides.items():
                taken[name].append(self._round(server, calls_of(number), expected))
        return {
            name: Cost(
                statistics.median(cpu for cpu, _ in rounds[1:]),
                statistics.median(rate for _, rate in rounds[1:]),
            )
            for name, rounds in taken.items()
        }

    def _round(self, server: Server, calls: Sequence[Call], expected: int) -> tuple[float, float]:
        before = server.cpu_seconds() + tree_cpu_seconds(self.database_pid)
        began = time.perf_counter()
        statuses = {server.send(call).status for call in calls}
        seconds = time.perf_counter() - began
        used = server.cpu_seconds() + tree_cpu_seconds(self.database_pid) - before
        if statuses != {expected}:
            raise RuntimeError(f"expected only {expected}, got {sorted(statuses)}")
        return 1000 * used / len(calls), len(calls) / seconds


def tree_cpu_seconds(root: int) -> float:
    """Return user and system time of a process and its descendants, ended children included."""
    return sum(map(_cpu_seconds, tree(root)))


def tree(root: int) -> list[int]:
    """Return the process *root* and everything it started that still runs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(entry)
        if fields:
            parents[int(entry.parent.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _stat(path: Path) -> list[str]:
    """Return the fields after the command's name, which may hold spaces; [] if it has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
