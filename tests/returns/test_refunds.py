"""Refunds: ours and those found, that fail, in parallel, across crashes and currencies."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
import time_machine

from donorportal import clock
from donorportal.audit.models import AuditRecord
from donorportal.db import writing_session
from donorportal.giving.models import RecurringGift
from donorportal.giving.returns.asking import RefundRefused, ask_refund, carry_out, give_up
from donorportal.giving.returns.models import GiftTask, Refund
from donorportal.ledger import halting
from donorportal.ledger.models import Entry
from donorportal.money import Money
from donorportal.payments.gateway import GatewayRejected
from tests.portal_in_process import Portal
from tests.returns.happenings import (
    ask,
    books,
    clearing,
    given,
    refund,
    refund_in_dashboard,
    sources,
    stripe_holds,
    the_gift,
)


def test_a_refund_is_asked_sent_and_booked(portal: Portal) -> None:
    """A part of a gift goes back: row, ledger, history, audit trail and one mail agree."""
    gift = given(portal)

    asked = refund(portal, gift, 2000)
    portal.send_all()

    (row,) = portal.scalars(sa.select(Refund))
    assert ("succeeded", "staff:1", "a test", asked.key) == (
        row.status,
        row.actor,
        row.reason,
        row.key,
    )
    assert 2000 == the_gift(portal).refunded_minor
    assert -3000 == books(portal)["gifts:where-needed-most"]
    assert stripe_holds(portal) == clearing(portal)
    assert ["ask refund"] == portal.scalars(
        sa.select(AuditRecord.action).where(AuditRecord.actor == "staff:1")
    )
    (mail, _receipt) = portal.mails()
    assert "We sent $20 back to you" == mail["subject"]


def test_the_same_form_twice_is_one_refund(portal: Portal) -> None:
    """A second click, with the same key, finds the refund that the first one made."""
    gift, key = given(portal), uuid4()

    first = ask(portal, gift, 2000, key=key)
    second = ask(portal, gift, 2000, key=key)
    for asked in (first, second):
        carry_out(portal.gateway, asked)
    portal.send_all()

    assert first.row_id == second.row_id
    assert [2000] == portal.scalars(sa.select(Refund.amount_minor))
    assert 1 == len(portal.sandbox.listed("refunds"))


@pytest.mark.parametrize(
    ("minor", "sentence"),
    [
        (0, "A refund is more than nothing."),
        (-100, "A refund is more than nothing."),
        (5001, "At most $50.00 is left to refund."),
    ],
)
def test_e6_what_cannot_go_back_is_refused_with_a_sentence(
    portal: Portal, minor: int, sentence: str
) -> None:
    """Nothing, less than nothing and more than the gift are refused, and nothing is stored."""
    gift = given(portal)

    with pytest.raises(RefundRefused) as refused:
        ask(portal, gift, minor)

    assert sentence == str(refused.value)
    assert [] == portal.scalars(sa.select(Refund))


def test_e6_a_second_full_refund_is_refused(portal: Portal) -> None:
    """What was asked for counts before Stripe has answered: nothing is left for a second one."""
    gift = given(portal)
    ask(portal, gift, 3000)
    ask(portal, gift)

    with pytest.raises(RefundRefused, match="Nothing of this gift is left"):
        ask(portal, gift)

    assert [3000, 2000] == portal.scalars(sa.select(Refund.amount_minor).order_by(Refund.id))


def test_a_gift_that_was_not_received_cannot_be_refunded(portal: Portal) -> None:
    """An attempt is no money."""
    portal.post()

    with pytest.raises(RefundRefused, match="not received"):
        ask(portal, the_gift(portal))


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_while_posting_is_halted_no_money_is_sent_back(portal: Portal) -> None:
    """What could not be booked is not begun; afterwards it is allowed again."""
    gift = given(portal)
    with writing_session(portal.engine) as session:
        halting.halt(session, ["a test"])
    with pytest.raises(RefundRefused, match="until the books have been put right"):
        ask(portal, gift)

    with writing_session(portal.engine) as session:
        halting.lift(session, by="a test")

    assert 5000 == ask(portal, gift).amount.minor


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_parallel_refunds_never_exceed_the_gift(portal: Portal) -> None:
    """Eight colleagues refund $20 of $50 at the same moment: two succeed."""
    gift, together = given(portal), threading.Barrier(8)
    outcomes: list[str] = []

    def one() -> None:
        together.wait()
        try:
            with writing_session(portal.engine) as session:
                ask_refund(
                    session,
                    gift.id,
                    Money(2000, "USD"),
                    key=uuid4(),
                    actor="staff:1",
                    reason="at once",
                )
            outcomes.append("asked")
        except RefundRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["asked"] * 2 + ["refused"] * 6 == sorted(outcomes)
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        portal.work()
    assert 4000 == the_gift(portal).refunded_minor


def test_a_refund_in_the_dashboard_is_found(portal: Portal) -> None:
    """Staff refund at Stripe, past us: the webhook brings it, with its mail."""
    gift = given(portal)

    refund_in_dashboard(portal, gift, 1500)
    portal.send_all()

    assert [("stripe", None, 1500, "succeeded")] == portal.rows(
        sa.select(Refund.actor, Refund.key, Refund.amount_minor, Refund.status)
    )
    assert stripe_holds(portal) == clearing(portal)


def test_a_month_of_a_monthly_gift_goes_back(portal: Portal) -> None:
    """One month is refunded by us and in the dashboard; the monthly gift goes on."""
    portal.give(amount="30", frequency="monthly")
    portal.send_all()
    gift = the_gift(portal)

    refund(portal, gift, 1000)
    refund_in_dashboard(portal, gift, 500)
    portal.send_all()

    assert 1500 == the_gift(portal).refunded_minor
    assert ["active"] == portal.scalars(sa.select(RecurringGift.status))
    assert stripe_holds(portal) == clearing(portal)


def test_a_crash_after_asking_is_finished_by_the_job(portal: Portal) -> None:
    """The process ends before Stripe is called: the job of the row sends the refund."""
    gift = given(portal)
    ask(portal, gift, 2000)

    portal.work()
    assert ["asked"] == portal.scalars(sa.select(Refund.status))
    with time_machine.travel(clock.now() + timedelta(minutes=3)):
        portal.work()

    assert ["succeeded"] == portal.scalars(sa.select(Refund.status))
    assert 1 == len(portal.sandbox.listed("refunds"))


def test_a_crash_after_stripe_answered_makes_no_second_refund(portal: Portal) -> None:
    """The answer was lost: asking again with the key of the row finds the same refund."""
    gift = given(portal)
    carry_out(portal.gateway, ask(portal, gift, 2000))

    with time_machine.travel(clock.now() + timedelta(minutes=3)):
        portal.work()

    assert ["succeeded"] == portal.scalars(sa.select(Refund.status))
    assert 1 == len(portal.sandbox.listed("refunds"))
    assert 2000 == the_gift(portal).refunded_minor


def test_after_a_day_stripe_is_asked_what_became_of_it(portal: Portal) -> None:
    """Keys are forgotten after a day, so an old request is looked up and never made again."""
    gift = given(portal)
    known, unknown = ask(portal, gift, 2000), ask(portal, gift, 1000)
    carry_out(portal.gateway, known)

    with time_machine.travel(clock.now() + timedelta(days=2)):
        portal.work()

    assert [(known.row_id, "succeeded"), (unknown.row_id, "canceled")] == portal.rows(
        sa.select(Refund.id, Refund.status).order_by(Refund.id)
    )
    assert 1 == len(portal.sandbox.listed("refunds"))
    assert 2000 == the_gift(portal).refunded_minor


def test_the_webhook_may_be_faster_than_the_answer(portal: Portal) -> None:
    """Stripe tells of the refund before we have booked the answer: it is one and the same."""
    gift = given(portal)
    asked = ask(portal, gift, 2000)
    carry_out(portal.gateway, asked)

    portal.send_all()

    assert [(asked.row_id, "succeeded")] == portal.rows(sa.select(Refund.id, Refund.status))


def test_no_answer_leaves_it_asked_and_the_job_asks_again(portal: Portal) -> None:
    """Stripe fails for a while: the refund stays asked, and ends as one refund."""
    gift = given(portal)
    ask(portal, gift, 2000)
    portal.sandbox.fault("500_after", method="POST", path="/v1/refunds", count=1)

    with time_machine.travel(clock.now() + timedelta(minutes=3)):
        portal.work()
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        portal.work()

    assert ["succeeded"] == portal.scalars(sa.select(Refund.status))
    assert 1 == len(portal.sandbox.listed("refunds"))


def test_what_stripe_refuses_is_given_up(portal: Portal) -> None:
    """Refunded in the dashboard a moment before: ours is refused, and says so."""
    gift = given(portal)
    asked = ask(portal, gift)
    refund_in_dashboard(portal, gift, 5000)

    with pytest.raises(GatewayRejected):
        carry_out(portal.gateway, asked)
    with writing_session(portal.engine) as session:
        give_up(session, asked, "charge_already_refunded")
    portal.send_all()

    assert [("canceled", None), ("succeeded", "stripe")] == [
        (status, None if actor == "staff:1" else actor)
        for status, actor in portal.rows(
            sa.select(Refund.status, Refund.actor).order_by(Refund.status)
        )
    ]
    assert 5000 == the_gift(portal).refunded_minor


def test_e8_a_refund_that_fails_weeks_later_is_reversed(portal: Portal) -> None:
    """The money comes back: a reversing entry of its own day, a task, and the donor is told."""
    gift = given(portal)
    refund(portal, gift, 2000)
    portal.send_all()
    (remote_id,) = portal.scalars(sa.select(Refund.remote_id))

    portal.sandbox.advance(days=40)
    portal.sandbox.post(f"refunds/{remote_id}/settle", outcome="failed")
    portal.send_all()

    (row,) = portal.scalars(sa.select(Refund))
    assert ("failed", "lost_or_stolen_card") == (row.status, row.failure)
    assert row.failed_on is not None
    assert row.failed_on - row.refunded_on >= timedelta(days=39)
    assert 0 == the_gift(portal).refunded_minor
    assert ["charge", "fee", "refund", "refund-failed"] == sources(portal)
    assert [row.failed_on] == portal.scalars(
        sa.select(Entry.effective_on).where(Entry.source.startswith("refund-failed:"))
    )
    assert stripe_holds(portal) == clearing(portal)
    (text,) = portal.scalars(sa.select(GiftTask.text))
    assert "did not reach the donor" in text
    assert "Your refund of $20 did not reach you" in [mail["subject"] for mail in portal.mails()]
    refund(portal, the_gift(portal), 5000)


def test_a_refund_first_seen_failed_still_has_both_entries(portal: Portal) -> None:
    """Only the last event arrives: the money is shown to have gone and come back."""
    gift = given(portal)
    remote_id = refund_in_dashboard(portal, gift, 2000)
    portal.sandbox.post(f"refunds/{remote_id}/settle", outcome="failed")

    portal.send(portal.events("refund.failed")[-1])
    portal.work()

    assert ["charge", "fee", "refund", "refund-failed"] == sources(portal)
    assert 0 == the_gift(portal).refunded_minor


def test_a_refund_may_be_pending_for_days(portal: Portal) -> None:
    """The gift is smaller from the moment the money leaves; the donor is told once."""
    gift = given(portal, card="4000000000007726")
    refund(portal, gift, 2000)
    portal.send_all()
    assert ("pending", 2000) == (
        portal.scalars(sa.select(Refund.status))[0],
        the_gift(portal).refunded_minor,
    )

    portal.sandbox.advance(days=6)
    portal.send_all()

    assert ["succeeded"] == portal.scalars(sa.select(Refund.status))
    assert 2 == len(portal.mails()), "the receipt and one mail about the refund"


def test_a_refund_in_another_currency_posts_the_exchange_it_cost(portal: Portal) -> None:
    """Euros are credited and debited in dollars at two rates: the difference is exchange."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_100_000)
    gift = given(portal, currency="EUR")
    portal.sandbox.knobs(exchange_millionths=1_200_000)

    refund(portal, gift, 5000)
    portal.send_all()

    assert stripe_holds(portal) == clearing(portal)
    found = books(portal)
    assert 500 == found["exchange:stripe"]
    assert "exchange:stripe EUR" not in found
    assert "gifts:where-needed-most EUR" not in found
    (remote_id,) = portal.scalars(sa.select(Refund.remote_id))
    portal.sandbox.post(f"refunds/{remote_id}/settle", outcome="failed")
    portal.send_all()
    assert stripe_holds(portal) == clearing(portal)
    assert -5000 == books(portal)["gifts:where-needed-most EUR"]


def test_a_refund_counts_in_the_year_in_which_it_is_made(portal: Portal) -> None:
    """A gift of one year that is refunded in the next reduces the next year's income."""
    gift = given(portal)
    portal.sandbox.advance(days=365)
    refund_in_dashboard(portal, gift, 5000)
    portal.send_all()

    charged, refunded = portal.scalars(
        sa.select(Entry.effective_on)
        .where(sa.or_(Entry.source.like("charge:%"), Entry.source.like("refund:%")))
        .order_by(Entry.id)
    )
    assert charged.year + 1 == refunded.year
