"""What the balances of all accounts cost, however many postings there are.

Beside our function stands the same answer as raw SQL, and the scan of all postings that it avoids.
Everything runs against a real PostgreSQL; wall time is the median of many rounds in turns.
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import schema
from donorportal.db import tune, writing_session
from donorportal.ledger import sums
from donorportal.ledger.balances import balances
from tests.devpg import DevPostgres

_SIZES = (10_000, 1_000_000, 10_000_000)
_FRESH_ENTRIES = 500
"""Posted since the sums were last rolled forward: some minutes of a very good day."""
_ROUNDS = 41
_ENTRIES = """INSERT INTO entry (id, source, effective_on, posted_at, detail)
SELECT n, 'bench:' || n, date '2020-11-01' + (n %% 2190)::int, now() - interval '1 day', '{}'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n"""
_POSTINGS = """INSERT INTO posting (entry_id, account, currency, amount_minor)
SELECT n, side.account, (ARRAY['USD', 'GBP', 'EUR'])[1 + n %% 3], side.sign * (100 + n %% 9000)
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
LATERAL (VALUES ('clearing:stripe', 1), ('gifts:' || n %% 12, -1)) AS side (account, sign)"""
_FLOOR_SUMS = """SELECT account, currency, sum(total_minor),
(SELECT entry_id FROM ledger_mark WHERE name = 'sums') FROM account_sum GROUP BY 1, 2"""
_FLOOR_TAIL = """SELECT account, currency, sum(amount_minor) FROM posting WHERE entry_id > %s
GROUP BY 1, 2"""
_SCAN = "SELECT account, currency, sum(amount_minor) FROM posting GROUP BY 1, 2"

Say = Callable[[str], None]


def measure(server: DevPostgres, say: Say, *, quick: bool) -> None:
    """Print a line for each number of postings, and whether the cost stays flat."""
    say("balances of all accounts, ms             ours   floor   ratio   a scan")
    ours = [_measure_one(server, size, say) for size in (_SIZES[:1] if quick else _SIZES)]
    say(f"  with the most postings they cost {ours[-1] / ours[0]:.2f} of what the fewest cost")


def _measure_one(server: DevPostgres, postings: int, say: Say) -> float:
    name = f"ledger_{postings}"
    with psycopg.connect(_dsn(server.url()), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    engine = sa.create_engine(server.url(name))
    tune(engine)
    schema.upgrade(engine)
    with psycopg.connect(_dsn(server.url(name)), autocommit=True) as raw:
        _fill(raw, 1, postings // 2)
        raw.execute("ANALYZE entry, posting")
        began = time.perf_counter()
        while _roll(engine):
            pass
        rolled = time.perf_counter() - began
        _fill(raw, postings // 2 + 1, postings // 2 + _FRESH_ENTRIES)
        raw.execute("VACUUM ANALYZE")
        with Session(engine) as session:
            sides: dict[str, list[float]] = {"ours": [], "floor": []}
            for _ in range(_ROUNDS):
                sides["ours"].append(_timed(lambda: balances(session)))
                sides["floor"].append(_timed(lambda: _floor(raw)))
            _assert_right(session, raw)
        scan = _timed(lambda: raw.execute(_SCAN).fetchall())
    engine.dispose()
    ours, floor = (statistics.median(times) for times in sides.values())
    say(f"{postings:>12,} postings {ours:20.2f} {floor:7.2f} {ours / floor:6.2f}x {scan:8.1f}")
    say(f"  rolled into the sums at {postings / rolled / 1000:.0f} k postings a second")
    return ours


def _fill(raw: psycopg.Connection, first: int, last: int) -> None:
    """Insert balanced entries past the triggers: they are known to balance."""
    raw.execute("SET session_replication_role = replica")
    for statement in (_POSTINGS, _ENTRIES):
        raw.execute(statement, {"first": first, "last": last})


def _roll(engine: sa.Engine) -> bool:
    with writing_session(engine) as session:
        return sums.roll(session, margin=timedelta(0))


def _floor(raw: psycopg.Connection) -> dict[tuple[str, str], int]:
    rows = raw.execute(_FLOOR_SUMS).fetchall()
    found = {(account, code): int(total) for account, code, total, _ in rows}
    for account, code, total in raw.execute(_FLOOR_TAIL, (rows[0][3],)).fetchall():
        found[account, code] = found.get((account, code), 0) + int(total)
    return found


def _assert_right(session: Session, raw: psycopg.Connection) -> None:
    scanned = {(account, code): int(total) for account, code, total in raw.execute(_SCAN)}
    if {key: amount.minor for key, amount in balances(session).items()} != scanned:
        raise RuntimeError("the sums are not what the postings add up to")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _dsn(url: str) -> str:
    parts = sa.make_url(url)
    return f"host={parts.query['host']} dbname={parts.database} user={parts.username}"
