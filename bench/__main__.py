"""What a request costs, as a ratio to the least that Flask can do for it in the same run.

Everything runs against a real PostgreSQL with one sync worker. CPU time is that of the server's
process tree and of PostgreSQL's; the client and the stand-in for Stripe are not counted. Without
names all benchmarks run: webhook, give, checkout, history, jobs, process, burst,
ledger.
"""

import argparse
import hmac
import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from flask import Flask, Response, session

from bench import jobs, ledger, process
from bench.measuring import Call, Contest, Cost, Server
from bench.ours import for_environment
from bench.stripe_stub import StripeStub
from donorportal import schema
from donorportal.access import people, sessions
from donorportal.access.people import Realm
from donorportal.db import db, writing_session
from donorportal.giving.models import Gift
from donorportal.giving.seeding import seed
from donorportal.giving.starting import base_data
from tests.devpg import DevPostgres

_SECRET = "whsec_" + "b" * 32
_TODAY = date(2026, 11, 22)
_KINDS = (
    ("payment_intent.succeeded", "payment_intent", "pi"),
    ("charge.succeeded", "charge", "ch"),
    ("invoice.paid", "invoice", "in"),
    ("customer.subscription.updated", "subscription", "sub"),
)
_SIZES = (10_000, 100_000, 1_000_000)
# Nobody fills in a form faster than this; the application refuses who does.
_FILLING_SECONDS = 1.2
_PAGE_BYTES = 40 * 1024
_MEMORY_MIB = 120


class Bench:
    """One PostgreSQL, one stand-in for Stripe, and the figures so far."""

    def __init__(self, stack: ExitStack, *, quick: bool) -> None:
        self.stack = stack
        self.quick = quick
        self.postgres = DevPostgres()
        stack.callback(self.postgres.stop)
        self.stripe = StripeStub()
        stack.callback(self.stripe.stop)
        self.contest = Contest(_postmaster(self.postgres.url()), rounds=1 if quick else 5)
        self.requests = 20 if quick else 300

    def database(self, name: str, gifts: int = 0) -> dict[str, str]:
        """Make a migrated database with so many gifts; return what a server must know of it."""
        with psycopg.connect(_dsn(self.postgres.url()), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = self.postgres.url(name)
        engine = sa.create_engine(url)
        if gifts:
            # The rows are known to be right, and a million of them are wanted soon.
            sa.event.listen(engine, "connect", _without_triggers)
        schema.upgrade(engine)
        if gifts:
            seed(engine, donors=gifts // 25, gifts=gifts, seed=1, today=_TODAY)
        else:
            with writing_session(engine) as opened:
                base_data(opened)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE floor_event (id text PRIMARY KEY, type text, payload text)"
            )
            for table in ("floor_given", "floor_donor"):
                connection.exec_driver_sql(
                    f"CREATE TABLE {table} (id text PRIMARY KEY, minor bigint)"
                )
        engine.dispose()
        return _environment(url, self.stripe.url)

    def server(self, application: str, environment: dict[str, str], *, workers: int = 1) -> Server:
        """Start a server that ends with the benchmark."""
        return self.stack.enter_context(Server(application, environment, workers=workers))

    def compare(
        self,
        what: str,
        ours: tuple[Server, Callable[[int], Sequence[Call]]],
        floor: tuple[Server, Callable[[int], Sequence[Call]]],
        *,
        at_most: float,
        expected: int = 200,
    ) -> Cost:
        """Measure both in turns, print the line, and return what ours costs."""
        costs = self.contest.run({"ours": ours, "floor": floor}, expected=expected)
        mine, least = costs["ours"], costs["floor"]
        ratio = mine.cpu_ms / least.cpu_ms if least.cpu_ms else 0.0
        say(
            f"{what:<42} {mine.cpu_ms:7.2f} {least.cpu_ms:7.2f} {ratio:6.2f}x"
            f" {at_most:5.2f}x  {mine.rate:6.0f}/s {least.rate:6.0f}/s"
        )
        return mine


def main() -> None:
    """Run the benchmarks that were asked for and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join(_BENCHES))
    parser.add_argument("--quick", action="store_true", help="a few requests, to see it work")
    options = parser.parse_args()
    unknown = set(options.names) - set(_BENCHES)
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    say(f"{'CPU ms per request':<42} {'ours':>7} {'floor':>7}   ratio  limit   ours    floor")
    for name in options.names or _BENCHES:
        with ExitStack() as stack:
            _BENCHES[name](Bench(stack, quick=options.quick))


def webhook(bench: Bench) -> None:
    """Deliver events of four kinds: first, again, four at once, and while Stripe is slow."""
    environment = bench.database("webhook")
    ours = bench.server("bench.ours:site()", environment)
    floor = bench.server("bench.floors:webhook()", environment)
    sent: dict[int, list[Call]] = {}

    def fresh(_round: int) -> list[Call]:
        return [_event(number) for number in range(bench.requests)]

    def of_round(number: int) -> list[Call]:
        return sent.setdefault(number, fresh(number))

    first = bench.compare(
        "webhook, first delivery", (ours, of_round), (floor, of_round), at_most=1.5
    )
    again = bench.compare(
        "webhook, delivered again",
        (ours, of_round),
        (floor, of_round),
        at_most=1.5,
    )
    say(f"  a redelivery costs {again.cpu_ms / first.cpu_ms:.2f} of a first delivery (limit 1.00)")

    def while_stripe_takes(seconds: float) -> Callable[[int], list[Call]]:
        def calls(number: int) -> list[Call]:
            bench.stripe.delay_seconds = seconds
            return fresh(number)

        return calls

    rates = bench.contest.run(
        {
            "quick": (ours, while_stripe_takes(0.0)),
            "slow": (ours, while_stripe_takes(0.15)),
        },
        expected=200,
    )
    share = rates["slow"].rate / rates["quick"].rate
    say(f"  with Stripe at 150 ms {share:.2f} of the rate (limit 0.95),")
    say(f"  and {bench.stripe.calls} calls to Stripe")
    _four_at_once(bench, environment)


def _four_at_once(bench: Bench, environment: dict[str, str]) -> None:
    server = bench.server("bench.ours:site()", environment, workers=4)
    events = [_event(number) for number in range(bench.requests // 4)]
    statuses = set()
    with ThreadPoolExecutor(4) as senders:
        for event in events:
            statuses |= {answer.status for answer in senders.map(server.send, [event] * 4)}
    ids = [json.loads(event.body or b"")["id"] for event in events]
    with psycopg.connect(environment["FLOOR_DATABASE"]) as connection:
        found = connection.execute(
            "SELECT count(*) FROM inbound_event JOIN job ON job.key = 'event:' || inbound_event.id"
            " WHERE event_id = ANY(%s)",
            (ids,),
        ).fetchone()
    effects = found[0] if found else 0
    say(
        f"  {len(events)} events, each four times at once:"
        f" answers {sorted(statuses)}, {effects} stored with one job each"
    )


def give(bench: Bench) -> None:
    """Get the giving page, what a browser loads with it, and the memory of the worker."""
    environment = bench.database("give")
    ours = bench.server("bench.ours:site()", environment)
    floor = bench.server("bench.floors:giving_page()", environment)
    calls = [Call("/give")] * bench.requests
    bench.compare("giving page", (ours, lambda _: calls), (floor, lambda _: calls), at_most=1.5)
    zipped = {"Accept-Encoding": "gzip"}
    page = ours.send(Call("/give", headers=zipped))
    html = ours.send(Call("/give")).body.decode()
    links = re.findall(r'<(?:link|script|img)[^>]*?(?:href|src)="([^"]+)"', html)
    loaded = {link: len(ours.send(Call(link, headers=zipped)).body) for link in links}
    foreign = [link for link in links if not link.startswith("/")]
    total = len(page.body) + sum(loaded.values())
    say(
        f"  whole page over the wire {total / 1024:.1f} kB (limit {_PAGE_BYTES // 1024}),"
        f" {len(html) / 1024:.1f} kB of it HTML, {len(loaded)} files, {len(foreign)} from elsewhere"
    )
    say(f"  a worker uses {ours.largest_worker_mib():.0f} MiB (limit {_MEMORY_MIB})")


def checkout(bench: Bench) -> None:
    """Post the form until the donor is sent to the page to pay on."""
    environment = bench.database("checkout")
    ours = bench.server("bench.ours:site()", environment)
    floor = bench.server("bench.floors:checkout()", environment)

    def posts(_round: int) -> list[Call]:
        forms = [_filled_form(ours) for _ in range(bench.requests)]
        time.sleep(_FILLING_SECONDS)
        return [_post(form) for form in forms]

    def bare_posts(_round: int) -> list[Call]:
        return [_post(_typed(str(uuid4()))) for _ in range(bench.requests)]

    cost = bench.compare(
        "POST /give", (ours, posts), (floor, bare_posts), at_most=1.5, expected=303
    )
    before = bench.stripe.calls
    for call in posts(0):
        ours.send(call)
    calls = bench.stripe.calls - before
    say(f"  {calls / bench.requests:.2f} calls to Stripe for each ({cost.rate:.0f} posts a second)")


def history(bench: Bench) -> None:
    """Get the first page of the history of donors with more gifts than fit on it."""
    costs = []
    for gifts in _SIZES[:1] if bench.quick else _SIZES:
        environment = bench.database(f"history_{gifts}", gifts)
        ours = bench.server("bench.ours:site()", environment)
        floor = bench.server("bench.floors:history_page()", environment)
        donors = _givers(environment, 30)
        mine = _cookies(environment, donors)
        theirs = [
            floor.send(Call(f"/sign-in/{donor}")).headers["Set-Cookie"].partition(";")[0]
            for donor in donors
        ]
        cost = bench.compare(
            f"history page, {gifts:,} gifts",
            (ours, _pages(mine, bench.requests)),
            (floor, _pages(theirs, bench.requests)),
            at_most=2.0,
        )
        costs.append(cost.cpu_ms)
    say(
        f"  with the most gifts the page costs {costs[-1] / costs[0]:.2f} of what it costs"
        " with the fewest"
    )


def drained(bench: Bench) -> None:
    """Drain jobs on both databases."""
    if not bench.quick:
        sys.argv = ["bench.jobs"]
        jobs.main()


_BENCHES: dict[str, Callable[[Bench], None]] = {
    "webhook": webhook,
    "give": give,
    "checkout": checkout,
    "history": history,
    "jobs": drained,
    "process": lambda bench: process.measure(bench, say),
    "burst": lambda bench: process.burst(bench, say),
    "ledger": lambda bench: ledger.measure(bench.postgres, say, quick=bench.quick),
}


def say(line: str) -> None:
    """Print one line now."""
    print(line, flush=True)  # noqa: T201 - printing is what a benchmark is for


def _environment(url: str, stripe: str) -> dict[str, str]:
    return {
        "SECRET_KEY": "b" * 40,
        "DATABASE_URL": url,
        "FLOOR_DATABASE": _dsn(url),
        "PUBLIC_URL": "http://localhost",
        "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
        "STRIPE_API_BASE": stripe,
        "STRIPE_WEBHOOK_SECRETS": _SECRET,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_SECURITY": "none",
        "MAIL_FROM": "Open Door <giving@example.org>",
        "EMBEDDED_WORKER": "off",
        "CHECKOUT_LIMIT_FACTOR": "1000",
    }


def _dsn(url: str) -> str:
    parts = sa.make_url(url)
    return f"host={parts.query['host']} dbname={parts.database} user={parts.username}"


def _without_triggers(connection: psycopg.Connection, _record: object) -> None:
    connection.execute("SET session_replication_role = replica")
    connection.commit()


def _event(number: int) -> Call:
    """Make a signed event of one kind in turn, as large as Stripe's usually are."""
    kind, name, prefix = _KINDS[number % len(_KINDS)]
    thing = {
        "id": f"{prefix}_{secrets.token_hex(12)}",
        "object": name,
        "livemode": False,
        "metadata": {f"name_{n}": "value " * 3 for n in range(20)},
        "lines": [{"id": f"li_{n}", "amount": 5000 + n, "currency": "usd"} for n in range(40)],
    }
    now = int(time.time())
    event = {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "type": kind,
        "api_version": "2026-01-28.clover",
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


def _filled_form(server: Server) -> dict[str, str]:
    """Get a form and fill it in: each has a key of its own, with the server's stamp on it."""
    html = server.send(Call("/give")).body.decode()
    given = dict(re.findall(r'name="(key|stamp)" value="([^"]*)"', html))
    return given | _typed(given["key"])


def _typed(key: str) -> dict[str, str]:
    return {
        "key": key,
        "amount": "50",
        "currency": "USD",
        "frequency": "once",
        "designation": "where-needed-most",
        "email": "indigo.loire@example.org",
        "name": "Indigo Loire",
    }


def _post(form: dict[str, str]) -> Call:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    return Call("/give", "POST", urlencode(form).encode(), headers)


def _givers(environment: dict[str, str], count: int) -> list[int]:
    """Return donors with more than a page of gifts, evenly from all of those."""
    query = (
        sa.select(Gift.donor_id)
        .where(Gift.status == "received")
        .group_by(Gift.donor_id)
        .having(sa.func.count().between(51, 120))
        .order_by(Gift.donor_id)
    )
    engine = sa.create_engine(environment["DATABASE_URL"])
    with engine.connect() as connection:
        donors = [donor for donor in connection.scalars(query) if donor is not None]
    engine.dispose()
    return donors[:: max(1, len(donors) // count)][:count]


def _cookies(environment: dict[str, str], donors: Sequence[int]) -> list[str]:
    """Sign donors in as the application does, and return the cookies of their sessions."""
    app = for_environment(environment)
    return [_cookie(app, donor) for donor in donors]


def _cookie(app: Flask, donor: int) -> str:
    with app.test_request_context():
        person = people.by_id(db.session(), Realm.DONOR, donor)
        if person is None:
            raise RuntimeError(f"there is no donor {donor}")
        sessions.begin(person)
        response = Response()
        app.session_interface.save_session(app, session, response)
        return response.headers["Set-Cookie"].partition(";")[0]


def _pages(cookies: Sequence[str], count: int) -> Callable[[int], list[Call]]:
    calls = [Call("/portal/gifts", headers={"Cookie": cookie}) for cookie in cookies]
    return lambda _round: [calls[number % len(calls)] for number in range(count)]


def _postmaster(url: str) -> int:
    """Return the process id of the server, which it keeps in the folder of its socket."""
    folder = Path(str(sa.make_url(url).query["host"]))
    return int((folder / "postmaster.pid").read_text().split()[0])


if __name__ == "__main__":
    main()
