"""Jobs drained per second by one worker, beside the same two statements as raw SQL.

Run as ``python -m bench.jobs``, or with ``--url`` for one database of your own (its jobs are
deleted). The task does nothing, so that only claiming, running and finishing are measured; the
log is written as in production, to nowhere. CPU time is this process's own.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from donorportal import logs, schema
from donorportal.db import tune, writing_session
from donorportal.jobs.models import Job
from donorportal.jobs.queueing import enqueue
from donorportal.jobs.running import drain
from tests.devpg import DevPostgres

_ROUNDS = 5


class Spent(NamedTuple):
    """What one way of draining took, for each job."""

    wall: float
    cpu: float


def main() -> None:
    """Measure and print one row for each database and size of batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a migrated database instead of new ones of each kind")
    parser.add_argument("--jobs", type=int, default=500, help="in each of five rounds")
    arguments = parser.parse_args()
    _say("| database | batch | jobs/s | CPU us/job | raw SQL CPU us/job | ratio | queued/s |")
    _say("| --- | --- | --- | --- | --- | --- | --- |")
    with contextlib.ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        with contextlib.redirect_stderr(nowhere):
            logs.configure()
        urls = [arguments.url] if arguments.url else stack.enter_context(_databases())
        for url in urls:
            measure(url, arguments.jobs)
    _say(f"\nMemory of this process: {_pss_mib():.0f} MiB PSS")


def measure(url: str, jobs: int) -> None:
    """Print the rows of one database."""
    engine = sa.create_engine(url)
    tune(engine)
    for batch in (1, 10):
        ours, floor, queued = [], [], []
        for _ in range(_ROUNDS):
            queued.append(_timed(lambda: _queue(engine, jobs), jobs))
            ours.append(_timed(lambda: _drain(engine, jobs, batch), jobs))  # noqa: B023
            _queue(engine, jobs)
            floor.append(_timed(lambda: _drain_raw(engine, jobs, batch), jobs))  # noqa: B023
        cpu, least = (statistics.median(one.cpu for one in each) for each in (ours, floor))
        rate = 1 / statistics.median(one.wall for one in ours)
        into = 1 / statistics.median(one.wall for one in queued)
        _say(
            f"| {engine.dialect.name} | {batch} | {rate:.0f} | {cpu * 1e6:.0f} "
            f"| {least * 1e6:.0f} | {cpu / least:.2f} | {into:.0f} |"
        )
    engine.dispose()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def _databases() -> Iterator[list[str]]:
    server = DevPostgres()
    with tempfile.TemporaryDirectory() as folder:
        urls = [f"sqlite:///{folder}/jobs.db", server.url()]
        for url in urls:
            engine = sa.create_engine(url)
            tune(engine)
            schema.upgrade(engine)
            engine.dispose()
        yield urls
    server.stop()


def _timed(work: Callable[[], None], jobs: int) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent((time.perf_counter() - wall) / jobs, (time.process_time() - cpu) / jobs)


def _queue(engine: sa.Engine, jobs: int) -> None:
    with writing_session(engine) as session:
        session.execute(sa.delete(Job))
    for number in range(jobs):
        with writing_session(engine) as session:
            enqueue(session, "nothing", number=number)


def _drain(engine: sa.Engine, jobs: int, batch: int) -> None:
    if drain(engine, {"nothing": lambda _run, **_args: None}, batch=batch) != jobs:
        raise RuntimeError("not every job was drained")


def _drain_raw(engine: sa.Engine, jobs: int, batch: int) -> None:
    """Claim and finish with the driver alone, in as many transactions as we use."""
    lock = "" if engine.dialect.name == "sqlite" else "FOR UPDATE SKIP LOCKED"
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"
    claim = (
        f"UPDATE job SET owner = {mark}, attempts = attempts + 1 WHERE id IN (SELECT id FROM job"  # noqa: S608 - our own words
        f" WHERE queue = 'default' AND state = 'ready' AND owner IS NULL ORDER BY run_at, id"
        f" LIMIT {batch} {lock}) RETURNING id, task, args"
    )
    finish = f"UPDATE job SET state = 'done', owner = NULL WHERE id = {mark} AND owner = {mark}"  # noqa: S608
    connection = engine.raw_connection()
    if engine.dialect.name == "postgresql":
        connection.driver_connection.autocommit = True  # type: ignore[union-attr]
    cursor = connection.cursor()
    done = 0
    while True:
        cursor.execute(begin)
        cursor.execute(claim, ("raw",))
        rows = cursor.fetchall()
        cursor.execute("COMMIT")
        if not rows:
            break
        for row in rows:
            cursor.execute(begin)
            cursor.execute(finish, (row[0], "raw"))
            cursor.execute("COMMIT")
            done += 1
    connection.invalidate()
    if done != jobs:
        raise RuntimeError("not every job was drained")


def _pss_mib() -> float:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
