"""Bugs planted from outside, and for each a history that must bring it to light.

This runs as a process of its own, so that no other test meets a bug: it gets a database server, a
migrated database to copy, and a sandbox, and prints one line of JSON for each bug. Nothing of the
program knows about it; functions are replaced, and rules of the database dropped, by name.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
import stripe

from donorportal import letters, worker
from donorportal.db import writing_session
from donorportal.giving import clearing, recurring, settlement
from donorportal.giving.models import Gift, GiftStatus
from donorportal.giving.partner.models import Action
from donorportal.giving.payouts import settling as payouts
from donorportal.giving.reconcile import looking
from donorportal.giving.returns import disputing, refunding
from donorportal.giving.returns.models import RefundStatus
from donorportal.jobs.models import Queue
from donorportal.jobs.queueing import enqueue
from donorportal.ledger import posting
from donorportal.ledger.models import LedgerHalt
from donorportal.mail import outbox
from donorportal.mail.models import OutboxMessage
from donorportal.payments.returns import DisputeState, RefundState
from donorportal.payments.stripe_returns import StripeReturns
from donorportal.webhooks import handlers
from donorportal.webhooks.models import EventState
from tests.machine import ends, proving
from tests.machine.world import Act, World, opened
from tests.sandboxproc import SandboxProcess

_FINAL = 1_000
"""The number of the end of a history, after all its acts."""


class Caught(NamedTuple):
    """How a planted bug came to light."""

    bug: str
    by: str
    step: int
    seconds: float


@dataclass(frozen=True)
class Plant:
    """One bug.

    Attributes:
        what: In one sentence, what the program does wrong.
        names: What is replaced: an object, an attribute of it, and a function of the original.
        statements: What is dropped from the database.
        acts: A history in which it matters.
        unheard: Nobody tells us in the end: only reconciliation may find what is missing.

    """

    what: str
    acts: tuple[Act, ...]
    names: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = ()
    statements: tuple[str, ...] = ()
    unheard: bool = False

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug until the block ends."""
        with ExitStack() as stack:
            for owner, name, broken in self.names:
                original = getattr(owner, name)
                setattr(owner, name, broken(original))
                stack.callback(setattr, owner, name, original)
            yield


# What the broken functions do instead.


def _looks_for_nothing(_original: Any) -> Any:
    return sa.select(
        sa.false() & (sa.bindparam("this_source") == sa.literal("")),
        sa.exists().where(LedgerHalt.standing.is_(True)),
    )


def _on_one_leg(original: Any) -> Any:
    return lambda amount, **legs: original(amount, **legs)[:1]


def _wants_charges_first(original: Any) -> Any:
    def settle(session: Any, seen: Any, **more: Any) -> Any:
        if seen.payment and seen.payment.refunds and seen.reference:
            known = sa.select(Gift.status).where(Gift.payment_remote_id == seen.payment.remote_id)
            if session.scalar(known) != GiftStatus.RECEIVED:
                return settlement.Outcome()
        return original(session, seen, **more)

    return settle


def _mails_each_cause(original: Any) -> Any:
    def receive(session: Any, gift: Gift, payment: Any, *, cause: str, **more: Any) -> Any:
        came = original(session, gift, payment, cause=cause, **more)
        session.flush()
        first = session.scalar(
            sa.select(OutboxMessage).where(OutboxMessage.key == f"receipt:{gift.id}")
        )
        key = f"receipt:{gift.id}:{cause}"
        again = sa.exists().where(OutboxMessage.key == key)
        if first is not None and not session.scalar(sa.select(again)):
            message = outbox.queue(
                session,
                "gift-receipt",
                address=first.address,
                key=key,
                context=first.context,
                domain="example.org",
            )
            enqueue(session, "mail.send", queue=Queue.MAIL, key=key, message=message)
        return came

    return receive


def _says_done_first(_original: Any) -> Any:
    def process_event(run: Any, gateway: Any, settings: Any, *, event: int) -> None:
        with run.finishing() as session:
            hint = handlers._hint(session, event)
            handlers._mark(session, event, EventState.PROCESSED, None)
        if handlers._refusal(hint, settings) is None:
            seen = gateway.observe(hint.object_id)
            with writing_session(run._engine) as session:
                settlement.settle(session, seen, cause=hint.type, settings=settings)

    return process_event


def _ignores_lost(original: Any) -> Any:
    def clear(session: Any, gift: Gift, row: Any, **more: Any) -> int:
        return 0 if row.status == DisputeState.LOST else original(session, gift, row, **more)

    return clear


def _without_disputes(original: Any) -> Any:
    def filtered(compare: Any) -> Any:
        def look(session: Any, seen: Any, settings: Any) -> Any:
            kept = {
                name: one
                for name, one in seen.items()
                if not name.startswith("dp_")
                and not (one and one.line and (one.line.source_id or "").startswith("dp_"))
            }
            return compare(session, kept, settings)

        return look

    return {
        thing: look._replace(compare=filtered(look.compare)) for thing, look in original.items()
    }


def _failed_is_fine(original: Any) -> Any:
    return original | {RefundState.FAILED: RefundStatus.SUCCEEDED}


def _another_key_each_time(original: Any) -> Any:
    def refund(self: Any, payment_id: str, amount: Any, **more: Any) -> Any:
        return original(self, payment_id, amount, **more | {"attempt": uuid4().int})

    return refund


def _books_nothing(_original: Any) -> Any:
    return lambda *_args: None


def _never_paused(original: Any) -> Any:
    def converge(session: Any, seen: Any, **more: Any) -> Any:
        if seen.subscription is not None:
            going_on = replace(seen.subscription, paused=False)
            seen = replace(seen, subscription=going_on)
        return original(session, seen, **more)

    return converge


def _dates_like_the_gift(original: Any) -> Any:
    def post(session: Any, **entry: Any) -> bool:
        gift = session.get(Gift, entry["detail"]["gift"])
        return bool(original(session, **entry | {"effective_on": gift.given_on}))

    return post


def _queues_nothing(_original: Any) -> Any:
    return lambda *_args, **_more: True


PLANTS: dict[str, Plant] = {
    "no_unique": Plant(
        "one cause can be posted twice",
        (lambda w: w.give(), lambda w: w.deliver_new(times=2)),
        ((posting, "_STANDING", _looks_for_nothing),),
        ("ALTER TABLE entry DROP CONSTRAINT uq_entry_source",),
    ),
    "unbalanced": Plant(
        "the fee is posted on one leg",
        (lambda w: w.give(), lambda w: w.deliver_new()),
        (
            (clearing, "move", _on_one_leg),
            (posting, "_refuse_unbalanced", _books_nothing),
        ),
        ("DROP TRIGGER entry_balances ON entry",),
    ),
    "needs_order": Plant(
        "a refund does not book its gift first",
        (
            lambda w: w.give(),
            lambda w: w.refund_in_dashboard(0, 30),
            lambda w: w.deliver_new(backwards=True),
        ),
        ((handlers, "settle", _wants_charges_first),),
    ),
    "second_receipt": Plant(
        "every cause mails a receipt of its own",
        (lambda w: w.give(), lambda w: w.land(0), lambda w: w.deliver_new()),
        ((settlement, "_receive", _mails_each_cause),),
    ),
    "ack_first": Plant(
        "an event counts as processed before its effect is there",
        (lambda w: w.give(), lambda w: w.stay_silent(30), lambda w: w.deliver_new()),
        ((worker, "process_event", _says_done_first),),
    ),
    "lost_ignored": Plant(
        "a lost dispute is not posted",
        (
            lambda w: w.give(),
            lambda w: w.dispute(0),
            lambda w: w.deliver_new(),
            lambda w: w.close_dispute(0, "lost"),
            lambda w: w.deliver_new(),
        ),
        ((disputing, "clear", _ignores_lost),),
    ),
    "no_dispute_recon": Plant(
        "reconciliation does not look at disputes",
        (
            lambda w: w.give(),
            lambda w: w.deliver_new(),
            lambda w: w.dispute(0, 60),
            ends.reconcile,
        ),
        ((looking, "LOOKS", _without_disputes),),
        unheard=True,
    ),
    "refund_failed_ignored": Plant(
        "a refund that came back stays booked",
        (
            lambda w: w.give(),
            lambda w: w.deliver_new(),
            lambda w: w.refund(0, 50),
            lambda w: w.settle_refund(0, "failed"),
            lambda w: w.deliver_new(),
        ),
        ((refunding, "_STATUSES", _failed_is_fine),),
    ),
    "double_refund": Plant(
        "a refund that is asked for again has another key at Stripe",
        (
            lambda w: w.give(),
            lambda w: w.deliver_new(),
            lambda w: w.crash(2, after=False),
            lambda w: w.refund(0, 40, times=2),
        ),
        ((StripeReturns, "refund", _another_key_each_time),),
    ),
    "payout_not_cleared": Plant(
        "a payout does not move the money to the bank",
        (lambda w: w.give(), lambda w: w.pay_out(stays=True), lambda w: w.deliver_new()),
        ((payouts, "_book", _books_nothing),),
    ),
    "pause_forgets": Plant(
        "a paused monthly gift counts as active",
        (
            lambda w: w.give(monthly=True),
            lambda w: w.deliver_new(),
            lambda w: w.change(0, Action.PAUSE, days=40),
            lambda w: w.deliver_new(),
        ),
        ((recurring, "converge", _never_paused),),
    ),
    "wrong_year": Plant(
        "a refund counts in the year of its gift",
        (
            lambda w: w.give(),
            lambda w: w.deliver_new(),
            lambda w: w.let_time_pass(days=60),
            lambda w: w.refund(0, 50),
        ),
        ((refunding, "post", _dates_like_the_gift),),
    ),
    "mail_without_work": Plant(
        "a receipt is queued and nothing sends it",
        (lambda w: w.give(), lambda w: w.deliver_new()),
        ((letters, "enqueue", _queues_nothing),),
    ),
}


def find(bug: str, databases: Callable[[], str], sandbox: SandboxProcess) -> Caught | None:
    """Plant a bug and live through its history until a check fails; None: it was not caught."""
    plant = PLANTS[bug]
    began = time.monotonic()
    url = databases()
    _run(url, plant.statements)
    with plant.planted(), opened(url, sandbox) as world:
        for step, act in enumerate((*plant.acts, None), start=1):
            found = _after(world, act, plant, databases)
            if found:
                return Caught(bug, found[0], step, time.monotonic() - began)
    return None


def _after(world: World, act: Act | None, plant: Plant, databases: Callable[[], str]) -> list[str]:
    """Do one act, or end the history; return what is wrong then."""
    if act is not None:
        act(world)
        return proving.always(world)
    if plant.unheard:
        return proving.at_rest(world)
    return ends.of(world, databases)


def _run(url: str, statements: tuple[str, ...]) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def main() -> None:
    """Find every bug, or the ones that are named, on the server and the sandbox that are given."""
    server, template, port, smtp_port, *bugs = sys.argv[1:]
    for name in ("INITIAL_DELAY", "MAX_DELAY"):
        setattr(stripe.HTTPClient, name, 0.001)
    sandbox = SandboxProcess(Path("unused"))
    sandbox.port, sandbox.smtp_port = int(port), int(smtp_port)
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def databases() -> str:
        made.append(f"p_{uuid4().hex[:12]}")
        with engine.connect() as connection:
            connection.execute(
                sa.text(f"CREATE DATABASE {made[-1]} TEMPLATE {template} STRATEGY file_copy")
            )
        return engine.url.set(database=made[-1]).render_as_string(hide_password=False)

    try:
        for bug in bugs or PLANTS:
            caught = find(bug, databases, sandbox)
            print("found " + json.dumps(caught or [bug]), flush=True)  # noqa: T201 - its answer
    finally:
        with engine.connect() as connection, suppress(sa.exc.DBAPIError):
            for name in made:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


if __name__ == "__main__":
    main()
