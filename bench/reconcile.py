"""What comparing everything with Stripe costs, and how that grows: objects per second and memory.

Run as ``python -m bench.reconcile``, with ``--sizes 10000 100000`` for others. A process that
stands in for Stripe lists as many charges as movements of the balance, in pages of a hundred, as
large as Stripe's own; a PostgreSQL holds a gift, its receipt and its entries for each. Everything
agrees, so that what is measured is the comparison. Each size runs in a process of its own, through
the SDK; the time of the stand-in is not counted in the CPU time.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import sqlalchemy as sa

from donorportal import schema
from donorportal.config import Settings
from donorportal.db import tune, writing_session
from donorportal.giving.reconcile import running
from donorportal.giving.reconcile.desk import Terminal
from donorportal.giving.starting import base_data
from donorportal.payments.stripe_gateway import StripeGateway
from donorportal.sandbox.typecheck import minimal
from tests.devpg import DevPostgres

_SIZES = (10_000, 100_000)
_NEWEST = 1_795_000_000
_SECONDS_APART = 60
_GIVEN, _FEE = 5000, 175


def main() -> None:
    """Measure and print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="numbers of objects")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        url, stripe, size = arguments.one
        sys.stdout.write(json.dumps(_compare(url, stripe, int(size))))
        return
    _say("| objects | seconds | objects/s | CPU ms per 1000 | peak RSS MiB | differences |")
    _say("| --- | --- | --- | --- | --- | --- |")
    postgres = DevPostgres()
    try:
        for size in arguments.sizes:
            _measure(postgres, size)
    finally:
        postgres.stop()


def _measure(postgres: DevPostgres, size: int) -> None:
    url = _database(postgres, size // 2)
    ours, theirs = multiprocessing.Pipe()
    stand_in = multiprocessing.Process(target=_stand_in, args=(theirs, size // 2), daemon=True)
    stand_in.start()
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "bench.reconcile", "--one", url, ours.recv(), str(size)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
    finally:
        stand_in.terminate()
        stand_in.join()
    cost = json.loads(done.stdout)
    _say(
        f"| {cost['walked']:,} | {cost['seconds']:.1f} | {cost['walked'] / cost['seconds']:,.0f}"
        f" | {cost['cpu'] * 1e6 / cost['walked']:.0f} | {cost['mib']:.0f} | {cost['left']} |"
    )


def _compare(url: str, stripe: str, size: int) -> dict[str, float]:
    """Compare everything once, in this process."""
    engine = sa.create_engine(url)
    tune(engine)
    gateway = StripeGateway("sk_test_bench", api_base=stripe)
    started, cpu = time.monotonic(), time.process_time()
    run = running.compare(
        Terminal(engine), gateway, _settings(url, stripe), actor="bench", repairs=True
    )
    if run.walked != size:
        raise SystemExit(f"{run.walked} objects were compared, not {size}")
    return {
        "walked": run.walked,
        "left": run.left or 0,
        "seconds": time.monotonic() - started,
        "cpu": time.process_time() - cpu,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _settings(url: str, stripe: str) -> Settings:
    return Settings.from_environment(
        {
            "SECRET_KEY": "b" * 40,
            "DATABASE_URL": url,
            "PUBLIC_URL": "http://localhost",
            "STRIPE_SECRET_KEY": "sk_test_bench",
            "STRIPE_WEBHOOK_SECRETS": "whsec_bench",
            "STRIPE_API_BASE": stripe,
            "MAIL_SERVER": "localhost",
            "MAIL_FROM": "giving@example.org",
            "ORGANISATION_TIME_ZONE": "UTC",
        }
    )


def _database(postgres: DevPostgres, gifts: int) -> str:
    """Make a database with so many gifts that agree with what the stand-in lists."""
    name = f"reconcile_{gifts}"
    plain = postgres.url().replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.url(name)
    engine = sa.create_engine(url)
    schema.upgrade(engine)
    with writing_session(engine) as session:
        base_data(session)
    moment = f"to_timestamp({_NEWEST} - i * {_SECONDS_APART})"
    each = f"FROM generate_series(0, {gifts - 1}) AS i"
    with engine.begin() as connection:
        # The rows are known to be right, and many of them are wanted soon.
        connection.exec_driver_sql("SET session_replication_role = replica")
        for statement in (
            (
                "INSERT INTO donor (id, email, email_key, name, login_epoch, created_at)"
                " VALUES (1, 'donor@example.org', 'donor@example.org', 'Sam Example', 0, now())"
            ),
            (
                "INSERT INTO gift (id, public_id, key, status, amount_minor, currency,"
                " fee_cover_minor, email, name, consents, created_at, checkout_attempt,"
                " checkout_asked_at, designation_code, donor_id, payment_remote_id,"
                " charge_remote_id, given_on, given_on_basis, received_at, refunded_minor)"
                f" SELECT i + 1, gen_random_uuid(), gen_random_uuid(), 'received', {_GIVEN}, 'USD',"
                f" 0, 'donor@example.org', 'Sam Example', '{{}}', {moment}, 1, {moment},"
                " 'where-needed-most', 1, 'pi_' || lpad(i::text, 24, '0'),"
                f" 'ch_' || lpad(i::text, 24, '0'), ({moment} AT TIME ZONE 'UTC')::date, 'charged',"
                f" {moment}, 0 {each}"
            ),
            (
                "INSERT INTO receipt (id, gift_id, year, serial, number, issued_at)"
                f" SELECT i + 1, i + 1, 2026, i + 1, 'R-26-' || i, now() {each}"
            ),
            (
                "INSERT INTO entry (id, source, effective_on, posted_at, detail)"
                " SELECT i * 2 + 1, 'charge:ch_' || lpad(i::text, 24, '0'),"
                f" ({moment} AT TIME ZONE 'UTC')::date, now(), '{{}}' {each}"
            ),
            (
                "INSERT INTO entry (id, source, effective_on, posted_at, detail)"
                " SELECT i * 2 + 2, 'fee:txn_' || lpad(i::text, 24, '0'),"
                f" ({moment} AT TIME ZONE 'UTC')::date, now(), '{{}}' {each}"
            ),
            *(
                "INSERT INTO posting (entry_id, account, currency, amount_minor)"
                f" SELECT i * 2 + {entry}, '{account}', 'USD', {minor} {each}"
                for entry, account, minor in (
                    (1, "clearing:stripe", _GIVEN),
                    (1, "gifts:where-needed-most", -_GIVEN),
                    (2, "clearing:stripe", -_FEE),
                    (2, "fees:stripe", _FEE),
                )
            ),
        ):
            connection.exec_driver_sql(statement)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return url


def _stand_in(told: Connection, count: int) -> None:
    """Answer as Stripe would: *count* charges, as many movements, and nothing else."""
    templates = {kind: minimal(kind) for kind in ("charge", "balance_transaction")}
    balance = {"amount": count * (_GIVEN - _FEE), "currency": "usd", "source_types": {}}

    def body(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        if path == "/v1/balance":
            return {"object": "balance", "available": [balance], "pending": [], "livemode": False}
        if one := path.partition("/ch_")[2]:
            return templates["charge"] | _fields("charge", int(one))
        kind = {"charges": "charge", "balance_transactions": "balance_transaction"}.get(
            path.removeprefix("/v1/")
        )
        if kind is None:
            return {"object": "list", "data": [], "has_more": False, "url": path}
        after = query.get("starting_after")
        first = int(after[0].rpartition("_")[2]) + 1 if after else 0
        data = [templates[kind] | _fields(kind, i) for i in range(first, min(first + 100, count))]
        return {"object": "list", "data": data, "has_more": first + 100 < count, "url": path}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            answer = json.dumps(body(parts.path, parse_qs(parts.query))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


def _fields(kind: str, i: int) -> dict[str, Any]:
    number = f"{i:024d}"
    both = {"created": _NEWEST - i * _SECONDS_APART, "currency": "usd", "amount": _GIVEN}
    if kind == "charge":
        return both | {
            "id": f"ch_{number}",
            "payment_intent": f"pi_{number}",
            "balance_transaction": f"txn_{number}",
            "status": "succeeded",
            "failure_balance_transaction": None,
        }
    return both | {
        "id": f"txn_{number}",
        "source": f"ch_{number}",
        "type": "charge",
        "reporting_category": "charge",
        "fee": _FEE,
        "net": _GIVEN - _FEE,
        "status": "available",
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
