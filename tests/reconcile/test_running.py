"""One comparison at a time, from any interruption on, by itself, by command and by webhooks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.db import writing_session
from donorportal.donors.models import Donor
from donorportal.giving.models import Gift, GiftStatus, Receipt, RecurringGift
from donorportal.giving.reconcile import asking, running
from donorportal.giving.reconcile.kinds import Kind
from donorportal.giving.reconcile.models import (
    Difference,
    DifferenceState,
    ReconcileMark,
    ReconcileRun,
)
from donorportal.giving.reconcile.walking import LISTS, OVERLAP
from donorportal.giving.returns.models import DisputeRecord, Refund
from donorportal.giving.seeding import seed
from donorportal.jobs.queueing import enqueue
from donorportal.ledger.models import Entry, Posting
from donorportal.mail.models import OutboxMessage
from donorportal.payments.gateway import GatewayUnavailable
from donorportal.webhooks import sweeping
from donorportal.webhooks.models import InboundEvent
from tests.portal_in_process import Portal, environment_for
from tests.reconcile.comparing import everything, reconcile, standing
from tests.reconcile.differences import Maker
from tests.sandboxproc import ROOT

# What is asked of these is the same whatever the database; each starts processes.
_ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


def _life(make: Maker) -> None:
    """Let money come and go in most of the ways there are."""
    portal = make.portal
    make.unheard(amount="50")
    make.monthly(heard=False)
    portal.post(email="nobody@example.org")
    gifts = [make.unheard(amount="60"), make.unheard(amount="70")]
    payments = [make.charge(gift).payment_id for gift in gifts]
    make.stripe().refunds.create({"payment_intent": payments[0], "amount": 1500})
    portal.sandbox.post("disputes", charge=make.charge(gifts[1]).remote_id)
    portal.sandbox.post("payouts")
    portal.sandbox.advance(days=33)


def _books(portal: Portal) -> dict[str, Any]:
    """Return what a gift, a donor and the ledger say, without ids and times of our own."""
    return {
        "gifts": sorted(
            portal.rows(sa.select(Gift.email, Gift.status, Gift.amount_minor, Gift.refunded_minor))
        ),
        "monthly": portal.rows(
            sa.select(RecurringGift.status, RecurringGift.next_on, RecurringGift.amount_minor)
        ),
        "donors": sorted(portal.scalars(sa.select(Donor.email))),
        "refunds": portal.rows(sa.select(Refund.remote_id, Refund.status)),
        "disputes": portal.rows(sa.select(DisputeRecord.remote_id, DisputeRecord.status)),
        "receipts": len(portal.scalars(sa.select(Receipt.id))),
        "entries": sorted(
            portal.rows(
                sa.select(Entry.source, Posting.account, Posting.amount_minor).join(
                    Posting, Posting.entry_id == Entry.id
                )
            )
        ),
        "mails": sorted(portal.rows(sa.select(OutboxMessage.kind, OutboxMessage.address))),
    }


def test_reconciliation_alone_and_webhooks_alone_end_in_the_same_books(
    portal: Portal, make: Maker
) -> None:
    """Whoever books first, the other finds nothing to do: no entry, no receipt, no mail."""
    _life(make)

    run = reconcile(portal, fix=True)
    portal.work()
    after_run = _books(portal)
    assert (0, {}) == (reconcile(portal).left, standing(portal)), run.found

    portal.send_all()

    assert after_run == _books(portal)
    assert {} == standing(portal)


def test_after_webhooks_there_is_nothing_to_reconcile(portal: Portal, make: Maker) -> None:
    """What webhooks have booked agrees, and comparing changes no row."""
    _life(make)
    portal.send_all()
    portal.send_all()
    before = everything(portal)

    run = reconcile(portal, fix=True)

    assert (0, 0, 0) == (run.found, run.repaired, run.left)
    assert before == everything(portal)


def test_nobody_is_mailed_twice(portal: Portal, make: Maker) -> None:
    """A gift that reconciliation books is receipted once, however often and by whom it is found."""
    make.unheard(amount="50")
    for _ in range(2):
        reconcile(portal, fix=True)
        portal.work()
    portal.send_all()

    [mail] = portal.mails("donor1@example.org")
    assert "late" not in mail["text"]


def test_a_late_receipt_says_why_it_is_late(portal: Portal, make: Maker) -> None:
    """A gift of weeks ago gets its receipt with its own date and a sentence about the delay."""
    make.unheard(amount="50")
    _age(make, 20 * 86_400)

    reconcile(portal, fix=True)
    portal.work()

    [mail] = portal.mails("donor1@example.org")
    assert "This receipt comes late" in mail["text"]


def test_a_comparison_goes_on_where_it_was_interrupted(portal: Portal, make: Maker) -> None:
    """When Stripe stops answering, the next call continues the same run and counts once."""
    for amount in ("50", "60"):
        make.unheard(amount=amount)
    portal.sandbox.fault("500_before", method="GET", path="/v1/refunds", count=3)
    with pytest.raises(GatewayUnavailable):
        reconcile(portal)
    [broken] = portal.scalars(sa.select(ReconcileRun))
    assert ("refund", None) == (broken.step, broken.owner)

    run = reconcile(portal)

    assert broken.id == run.id
    assert run.left == sum(map(len, standing(portal).values()))
    assert run.walked == 2 * 3, "pages, charges and movements of two gifts"


def test_one_comparison_at_a_time(portal: Portal) -> None:
    """While a run shows signs of life, nobody else begins; when they stop, it is taken over."""
    _standing_run(portal, clock.now())
    with pytest.raises(running.RunUnderWay):
        reconcile(portal)

    with portal.engine.begin() as connection:
        past = clock.now() - timedelta(minutes=3)
        connection.execute(sa.update(ReconcileRun).values(pulse_at=past))

    assert reconcile(portal).id == 1


def _standing_run(portal: Portal, pulse_at: Any) -> None:
    with writing_session(portal.engine) as session:
        session.add(
            ReconcileRun(
                standing=True,
                owner="somebody",
                pulse_at=pulse_at,
                actor="operator",
                repairs=False,
                started_at=clock.now(),
                step="checkout",
            )
        )


def test_a_killed_comparison_leaves_no_half_and_is_finished_by_the_next(
    portal: Portal, make: Maker
) -> None:
    """SIGKILL in the middle of repairing: the next run ends with each gift booked once."""
    for amount in range(40, 48):
        make.unheard(amount=str(amount))
    command = _command(portal)
    process = subprocess.Popen(command[0], env=command[1], cwd=ROOT)
    deadline = time.monotonic() + 40
    received = sa.select(Gift.id).where(Gift.status == GiftStatus.RECEIVED)
    while len(portal.scalars(received)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    booked = len(portal.scalars(received))
    assert 3 <= booked < 8, "it was killed in the middle"
    with portal.engine.begin() as connection:
        past = clock.now() - timedelta(minutes=3)
        connection.execute(sa.update(ReconcileRun).values(pulse_at=past))

    done = subprocess.run(
        command[0], env=command[1], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert 8 == len(portal.scalars(received))
    assert 8 == len(portal.scalars(sa.select(Receipt.id)))
    assert 8 == len(portal.scalars(sa.select(OutboxMessage.id)))
    assert 1 == len(portal.scalars(sa.select(ReconcileRun.id)))


@_ONE_DATABASE
def test_the_command_reports_then_repairs_then_agrees(portal: Portal, make: Maker) -> None:
    """Exit 1 with each difference listed; with --fix exit 0 once nothing is left."""
    make.unheard(amount="50")

    seen = [_run(portal), _run(portal, "--fix"), _run(portal)]

    assert [1, 0, 0] == [one.returncode for one in seen], seen[0].stderr
    assert "[can be repaired] payment without gift: ch_" in seen[0].stdout
    assert "[needs a person] clearing: USD" in seen[0].stdout
    assert "[repaired] checkout unseen" in seen[1].stdout
    assert "Stripe and our books agree." in seen[2].stdout


@_ONE_DATABASE
def test_switched_off_the_command_only_reports(portal: Portal, make: Maker) -> None:
    """RECONCILE=off: even --fix repairs nothing, and says so."""
    make.unheard(amount="50")

    done = _run(portal, "--fix", RECONCILE="off")

    assert 1 == done.returncode
    assert "RECONCILE is off" in done.stdout
    assert [GiftStatus.STARTED] == portal.scalars(sa.select(Gift.status))


@pytest.mark.parametrize(("setting", "repaired"), [("nightly", True), ("manual", False)])
def test_the_nightly_job_repairs_where_the_setting_says_so(
    portal: Portal, make: Maker, setting: str, repaired: bool
) -> None:
    """By the clock what is at least ten minutes old is compared and repaired, or nothing at all."""
    make.unheard(amount="50")
    portal.settings = replace(portal.settings, reconcile=setting)
    _age(make, 3600)
    with writing_session(portal.engine) as session:
        enqueue(session, running.TASK)

    portal.work()

    status = GiftStatus.RECEIVED if repaired else GiftStatus.STARTED
    assert [status] == portal.scalars(sa.select(Gift.status))


def test_by_the_clock_what_is_on_its_way_is_no_difference(portal: Portal, make: Maker) -> None:
    """A gift of the last minutes is left to its webhook, also in the sum that Stripe holds."""
    make.unheard(amount="50")
    portal.settings = replace(portal.settings, reconcile="nightly")
    with writing_session(portal.engine) as session:
        enqueue(session, running.TASK)

    portal.work()

    assert {} == standing(portal)
    assert [0] == portal.scalars(sa.select(ReconcileRun.left))


def test_lists_begin_where_the_last_whole_walk_ended(portal: Portal, make: Maker) -> None:
    """The mark follows complete walks only: a later --since leaves no gap behind it."""
    make.gift(amount="50")
    whole = reconcile(portal)
    assert len(LISTS) == len(portal.scalars(sa.select(ReconcileMark.step)))

    marks = portal.scalars(sa.select(ReconcileMark.walked_until))
    follow = reconcile(portal)
    late = reconcile(portal, since=clock.now() + timedelta(days=3))

    assert {whole.started_at} == set(marks)
    assert follow.since is not None
    assert timedelta(0) <= whole.started_at - OVERLAP - follow.since < timedelta(days=1)
    assert late.since not in {None, follow.since}
    assert {follow.started_at} == set(portal.scalars(sa.select(ReconcileMark.walked_until)))


def test_an_explained_difference_counts_again_when_it_changes(portal: Portal, make: Maker) -> None:
    """What a person has explained stays quiet for as long as both sides say the same."""
    portal.sandbox.pay(make.foreign_page("payment"))
    reconcile(portal)
    rows = portal.scalars(sa.select(Difference))
    with writing_session(portal.engine) as session:
        for row in rows:
            assert asking.explain(session, row.id, actor="staff:1", words="The bake sale.")

    assert 0 == reconcile(portal).left
    portal.sandbox.pay(make.foreign_page("payment"))
    assert 2 == reconcile(portal).left
    assert {"foreign payment", "clearing"} == set(standing(portal))


def test_a_foreign_payment_can_be_booked_as_no_gift(portal: Portal, make: Maker) -> None:
    """A person's decision brings the ledger in line, and everything agrees again."""
    portal.sandbox.pay(make.foreign_page("payment"))
    reconcile(portal)
    query = sa.select(Difference.id).where(Difference.kind == Kind.FOREIGN_PAYMENT)
    [difference] = portal.scalars(query)
    with writing_session(portal.engine) as session:
        asking.ask_repair(session, difference, actor="staff:1", other=True)

    portal.work()

    assert 0 == reconcile(portal).left
    assert {DifferenceState.REPAIRED, DifferenceState.GONE} == set(
        portal.scalars(sa.select(Difference.state))
    )


def test_invented_gifts_are_not_asked_about(portal: Portal) -> None:
    """What the demonstration makes up is no difference: nobody says that Stripe knows it."""
    seed(portal.engine, donors=20, gifts=200, seed=1, today=clock.now().date())

    run = reconcile(portal, fix=True)

    assert ({}, 0) == (standing(portal), run.walked)


def test_events_that_nobody_took_are_taken_in_late(portal: Portal, make: Maker) -> None:
    """The sweep stores what was not delivered, once, and the workers do the rest."""
    make.unheard(amount="50")
    new = sweeping.take_in_undelivered(portal.engine, portal.gateway.listing)
    assert new == len(portal.scalars(sa.select(InboundEvent.id))) > 1

    assert 0 == sweeping.take_in_undelivered(portal.engine, portal.gateway.listing)
    portal.work()

    assert [GiftStatus.RECEIVED] == portal.scalars(sa.select(Gift.status))
    assert 0 == reconcile(portal).left


def _age(make: Maker, seconds: int) -> None:
    """Let everything at Stripe have happened so long ago."""
    with sqlite3.connect(make.sandbox.database, timeout=20) as file:
        for name, body in file.execute("SELECT id, body FROM object").fetchall():
            thing = json.loads(body)
            if "created" in thing:
                thing["created"] -= seconds
                values = (thing["created"], json.dumps(thing), name)
                file.execute("UPDATE object SET created = ?, body = ? WHERE id = ?", values)
    file.close()


def _command(portal: Portal, *arguments: str, **more: str) -> tuple[list[str], dict[str, str]]:
    environment = environment_for(portal.settings.database_url, portal.sandbox, **more)
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    words = arguments or ("--fix",)
    code = "from donorportal.cli import main; main()"
    return [sys.executable, "-c", code, "reconcile", *words], environment


def _run(portal: Portal, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command, environment = _command(portal, *arguments or ("--since", "2020-01-01"), **more)
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
