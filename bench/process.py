"""Webhooks end to end: what Stripe tells us, read again, settled, posted, and put into the outbox.

The four kinds of the even mix come for the first time: a payment, a charge, a paid month and a
changed subscription, each about a gift of its own. What Stripe would answer is made from objects
of the sandbox; it answers from the benchmark's own process, which is not counted.
"""

import hmac
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import requests
import sqlalchemy as sa

from bench.measuring import Call, Server, tree_cpu_seconds
from donorportal.giving.models import Gift, GiftStatus, RecurringGift
from donorportal.money import Money
from donorportal.payments.gateway import API_VERSION, CheckoutRequest
from donorportal.payments.stripe_gateway import StripeGateway
from tests.sandboxproc import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.__main__ import Bench

_SECRET = "whsec_" + "b" * 32
_MIX = (
    ("payment_intent.succeeded", "pi"),
    ("charge.succeeded", "ch"),
    ("invoice.paid", "in"),
    ("customer.subscription.updated", "sub"),
)
_ONCE = 2
"""The first kinds of the mix are about single gifts, the others about monthly ones."""
_IDS = re.compile(r"\b([a-z]{2,5})_[0-9a-f]{24}\b")
_WORKER = (
    "import os; from donorportal.config import Settings; from donorportal.worker import run_worker;"
    " run_worker(Settings.from_environment(os.environ), ('default',))"
)
_AT_MOST = 4.0
_PEER = "half of dj-stripe's 19.8 to 27.8 ms is 9.9 to 13.9 ms"
_BURST, _SENDERS = 10_000, 8
_PATIENCE_SECONDS = 600


class StripesAnswers:
    """What Stripe says about any object of the mix, by number; made of two gifts in the sandbox."""

    def __init__(self) -> None:
        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            sandbox = SandboxProcess(Path(folder) / "sandbox.db").start()
            stack.callback(sandbox.stop)
            self._once = _read(sandbox, monthly=False)
            self._monthly = _read(sandbox, monthly=True)

    def __call__(self, target: str) -> object | None:
        """Answer a request for *target*; None where the mix has no such object."""
        parts = urlsplit(target)
        asked = parse_qs(parts.query)
        named = parts.path.rpartition("/")[2]
        if named == "invoice_payments":
            named = (asked.get("invoice") or asked["payment[payment_intent]"])[0]
            kind = "invoice_payments"
        else:
            kind = named.partition("_")[0]
        number = int(named.rpartition("_")[2])
        template = (self._once if number % len(_MIX) < _ONCE else self._monthly).get(kind)
        if template is None:
            return None
        found: object = json.loads(
            template.replace("NUMBER", str(number)).replace("REFERENCE", str(UUID(int=number)))
        )
        return found


def measure(bench: "Bench", say: "Callable[[str], None]") -> None:
    """Print what one event costs from its delivery to its effect, and what the floor costs."""
    environment = bench.database("process") | {"RECONCILE": "off"}
    bench.stripe.answers = StripesAnswers()
    ours = bench.server("bench.ours:site()", environment)
    floor = bench.server("bench.floors:gift()", environment)
    engine = sa.create_engine(environment["DATABASE_URL"])
    costs: dict[str, list[float]] = {"ours": [], "floor": []}
    per_round = 40 if bench.quick else 400
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        worker = stack.enter_context(_worker(environment))
        for turn in range(-1, bench.contest.rounds):
            numbers = range((turn + 1) * per_round, (turn + 2) * per_round)
            _start(engine, numbers)
            events = [_event(number) for number in numbers]
            before = _cpu(ours.pid, worker.pid, bench.contest.database_pid)
            _send(ours, events)
            _await(engine, (turn + 2) * per_round)
            after = _cpu(ours.pid, worker.pid, bench.contest.database_pid)
            costs["ours"].append(1000 * (after - before) / per_round)
            before = _cpu(floor.pid, bench.contest.database_pid)
            _send(floor, events)
            after = _cpu(floor.pid, bench.contest.database_pid)
            costs["floor"].append(1000 * (after - before) / per_round)
        said = _effects(engine)
    mine, least = (statistics.median(costs[name][1:]) for name in ("ours", "floor"))
    say(
        f"{'webhook, delivered to booked':<42} {mine:7.2f} {least:7.2f}"
        f" {mine / least:6.2f}x {_AT_MOST:5.2f}x"
    )
    say(f"  {said}; {_PEER}")


def burst(bench: "Bench", say: "Callable[[str], None]") -> None:
    """Send ten thousand events over eight connections, and count what is stored of them."""
    environment = bench.database("burst")
    server = bench.server("bench.ours:site()", environment, workers=2)
    count = 200 if bench.quick else _BURST
    events = [_event(number) for number in range(count)]

    def send(event: Call) -> tuple[int, float]:
        began = time.perf_counter()
        status = server.send(event).status
        return status, 1000 * (time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(_SENDERS) as senders:
        answers = list(senders.map(send, events))
    seconds = time.perf_counter() - began
    engine = sa.create_engine(environment["DATABASE_URL"])
    stored = _count(engine, "SELECT count(*) FROM inbound_event")
    jobs = _count(engine, "SELECT count(*) FROM job")
    engine.dispose()
    took = sorted(ms for _, ms in answers)
    say(
        f"a burst of {count:,} over {_SENDERS} connections:"
        f" {seconds:.1f} s ({count / seconds:.0f}/s),"
        f" p50 {took[count // 2]:.1f} ms, p99 {took[count * 99 // 100]:.1f} ms,"
        f" answers {sorted({status for status, _ in answers})}"
    )
    say(f"  {stored:,} stored, {jobs:,} jobs, {count - min(stored, jobs):,} lost (limit 0)")
    if stored != count or jobs < count:
        raise RuntimeError("events were lost")


def _read(sandbox: SandboxProcess, *, monthly: bool) -> dict[str, str]:
    """Give once in the sandbox and return what it then answers, with its ids taken out."""
    gateway = StripeGateway("sk_test_" + "1" * 24, api_base=sandbox.url)
    gateway.set_up(public_url="http://localhost:9", organisation="Open Door")
    reference = str(UUID(int=2**64))
    page = gateway.open_checkout(
        CheckoutRequest(
            reference=reference,
            amount=Money(5000, "USD"),
            monthly=monthly,
            email="indigo.loire@example.org",
            return_url="http://localhost/give/thanks",
            cancel_url="http://localhost/give",
            locale="en",
            expires_at=datetime.now(UTC) + timedelta(hours=1),  # noqa: TID251 - no clock of ours
        ),
        key=f"{reference} {monthly}",
    )
    sandbox.pay(str(page.url))
    (intent,) = sandbox.listed("payment_intents")[:1]
    (charge,) = sandbox.listed("charges")[:1]
    wanted = {
        "pi": f"payment_intents/{intent['id']}?expand[]=latest_charge.balance_transaction"
        "&expand[]=latest_charge.failure_balance_transaction",
        "ch": f"charges/{charge['id']}",
    }
    if monthly:
        (invoice,) = sandbox.listed("invoices")[:1]
        (subscription,) = sandbox.listed("subscriptions")[:1]
        wanted |= {
            "in": f"invoices/{invoice['id']}",
            "sub": f"subscriptions/{subscription['id']}?expand[]=default_payment_method",
            "invoice_payments": f"invoice_payments?invoice={invoice['id']}",
        }
    found = {}
    for kind, path in wanted.items():
        answer = requests.get(f"{sandbox.url}/v1/{path}", auth=("sk_test_read", ""), timeout=30)
        answer.raise_for_status()
        found[kind] = _IDS.sub(r"\1_NUMBER", answer.text).replace(reference, "REFERENCE")
    return found


def _start(engine: sa.Engine, numbers: range) -> None:
    """Write the gifts as they are when their donors were sent to pay."""
    now = datetime.now(UTC)  # noqa: TID251 - no clock of ours
    rows: list[dict[str, Any]] = [
        {
            "public_id": UUID(int=number),
            "key": UUID(int=2**100 + number),
            "status": GiftStatus.STARTED,
            "amount_minor": 5000,
            "currency": "USD",
            "email": f"donor-{number}@example.org",
            "designation_code": "where-needed-most",
            "created_at": now,
            "checkout_asked_at": now,
        }
        for number in numbers
    ]
    with engine.begin() as connection:
        for table, which in ((Gift, range(_ONCE)), (RecurringGift, range(_ONCE, len(_MIX)))):
            asked = [row for row in rows if row["public_id"].int % len(_MIX) in which]
            if asked:
                connection.execute(sa.insert(table), asked)


def _event(number: int) -> Call:
    """Make a signed event of the mix, as large as Stripe's usually are."""
    kind, prefix = _MIX[number % len(_MIX)]
    now = int(time.time())
    thing: dict[str, Any] = {
        "id": f"{prefix}_{number}",
        "object": kind,
        "livemode": False,
        "amount": 5000,
        "metadata": {f"name_{n}": "value " * 3 for n in range(20)},
        "lines": [{"id": f"li_{n}", "amount": 5000 + n, "currency": "usd"} for n in range(40)],
    }
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "type": kind,
        "api_version": API_VERSION,
        "created": now,
        "livemode": False,
        "data": {"object": thing},
    }
    payload = json.dumps(event).encode()
    signature = hmac.new(_SECRET.encode(), f"{now}.".encode() + payload, "sha256").hexdigest()
    return Call(
        "/webhooks/stripe",
        "POST",
        payload,
        {"Content-Type": "application/json", "Stripe-Signature": f"t={now},v1={signature}"},
    )


class _worker:  # noqa: N801 - used as a function
    """One worker without a broker, for the queue on which events are processed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __enter__(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-c", _WORKER],
            env={"PATH": os.defpath, **self._environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def _send(server: Server, events: list[Call]) -> None:
    statuses = {server.send(event).status for event in events}
    if statuses != {200}:
        raise RuntimeError(f"expected only 200, got {sorted(statuses)}")


def _await(engine: sa.Engine, events: int) -> None:
    """Wait until so many events are processed; asking costs the database next to nothing."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    done = "SELECT count(*) FROM inbound_event WHERE state = 'processed'"
    while _count(engine, done) < events:
        if time.monotonic() > deadline:
            with engine.connect() as connection:
                notes = connection.execute(
                    sa.text("SELECT DISTINCT state, note FROM inbound_event")
                ).all()
                errors = connection.execute(sa.text("SELECT DISTINCT error FROM job")).all()
            raise RuntimeError(f"not all events were processed: {notes} {errors}")
        time.sleep(0.5)


def _effects(engine: sa.Engine) -> str:
    counts = [
        f"{_count(engine, statement):,} {what}"
        for what, statement in (
            ("gifts booked", "SELECT count(*) FROM gift WHERE status = 'received'"),
            ("entries", "SELECT count(*) FROM entry"),
            ("letters queued", "SELECT count(*) FROM outbox_message"),
        )
    ]
    return ", ".join(counts)


def _count(engine: sa.Engine, statement: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text(statement)).scalar() or 0)


def _cpu(*pids: int) -> float:
    return sum(map(tree_cpu_seconds, pids))
