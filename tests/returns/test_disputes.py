"""Disputes: opened, won, lost, in part, after a refund, in another currency; and inquiries."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from donorportal.access.people import Role
from donorportal.giving.models import Gift, RecurringGift
from donorportal.giving.returns.asking import RefundRefused
from donorportal.giving.returns.models import DisputeRecord, GiftTask, Refund
from donorportal.ledger.models import Entry
from tests.access.doorstep import Doorstep
from tests.portal_in_process import Portal
from tests.returns.happenings import (
    ask,
    books,
    clearing,
    disputed,
    given,
    refund,
    refund_in_dashboard,
    sources,
    stripe_holds,
    the_gift,
)

_FEE = 175 + 1500
"""What the card cost, and what the dispute did."""


def _close(portal: Portal, dispute: str, status: str, **more: int) -> None:
    portal.sandbox.post(f"disputes/{dispute}/close", status=status, **more)
    portal.send_all()


def _open_tasks(portal: Portal) -> list[str]:
    return portal.scalars(
        sa.select(GiftTask.text).where(GiftTask.settled_at.is_(None)).order_by(GiftTask.id)
    )


def test_disputed_money_waits_until_the_bank_has_decided(portal: Portal) -> None:
    """An open dispute takes the money from the balance, and nothing from the gift."""
    gift = given(portal)

    disputed(portal, gift)
    portal.send_all()

    assert {
        "clearing:stripe": -_FEE,
        "disputed:stripe": 5000,
        "fees:stripe": _FEE,
        "gifts:where-needed-most": -5000,
    } == books(portal)
    assert 0 == the_gift(portal).lost_minor
    (task,) = portal.scalars(sa.select(GiftTask))
    assert "disputes $50.00 (fraudulent)" in task.text
    assert task.due_at is not None


def test_a_lost_dispute_is_taken_from_the_gift_when_it_is_decided(portal: Portal) -> None:
    """The income shrinks on the day of the decision, and staff learn of it."""
    gift = given(portal)
    dispute = disputed(portal, gift)
    portal.send_all()
    portal.sandbox.advance(days=60)

    _close(portal, dispute, "lost")

    assert 5000 == the_gift(portal).lost_minor
    found = books(portal)
    assert "gifts:where-needed-most" not in found
    assert "disputed:stripe" not in found
    opened, lost = portal.scalars(
        sa.select(Entry.effective_on)
        .where(Entry.source.like("dispute%"))
        .order_by(Entry.effective_on)
    )
    assert lost - opened >= timedelta(days=59)
    assert ["The dispute over $50.00 was lost."] == _open_tasks(portal)
    assert stripe_holds(portal) == clearing(portal)


def test_a_won_dispute_leaves_only_its_fee(portal: Portal) -> None:
    """The money comes back, the gift is whole, the task settles itself."""
    gift = given(portal)
    dispute = disputed(portal, gift)
    portal.send_all()

    _close(portal, dispute, "won")

    assert {
        "clearing:stripe": 5000 - _FEE,
        "fees:stripe": _FEE,
        "gifts:where-needed-most": -5000,
    } == books(portal)
    assert [] == _open_tasks(portal)
    refund(portal, the_gift(portal), 5000)


def test_of_a_dispute_won_in_part_the_rest_is_lost(portal: Portal) -> None:
    """$20 of $50 come back: $30 are lost."""
    gift = given(portal)
    dispute = disputed(portal, gift)

    _close(portal, dispute, "won", amount=2000)

    assert 3000 == the_gift(portal).lost_minor
    assert -2000 == books(portal)["gifts:where-needed-most"]
    assert stripe_holds(portal) == clearing(portal)


def test_a_dispute_over_a_part_takes_only_that(portal: Portal) -> None:
    """$10 of $50 are disputed and lost."""
    gift = given(portal)
    dispute = disputed(portal, gift, amount=1000)

    _close(portal, dispute, "lost")

    assert 1000 == the_gift(portal).lost_minor
    assert -4000 == books(portal)["gifts:where-needed-most"]


def test_a_dispute_after_a_refund_never_takes_more_than_is_left(portal: Portal) -> None:
    """The bank takes $50 although $20 went back: the $20 are a loss, not a smaller gift."""
    gift = given(portal)
    refund(portal, gift, 2000)
    dispute = disputed(portal, gift)

    _close(portal, dispute, "lost")

    row = the_gift(portal)
    assert (2000, 3000) == (row.refunded_minor, row.lost_minor)
    found = books(portal)
    assert 2000 == found["losses:stripe"]
    assert "gifts:where-needed-most" not in found
    assert stripe_holds(portal) == clearing(portal)


def test_a_refund_that_fails_after_the_dispute_leaves_room_for_the_loss(portal: Portal) -> None:
    """The $20 come back to us after all: now the gift itself has lost all of the $50."""
    gift = given(portal)
    refund(portal, gift, 2000)
    _close(portal, disputed(portal, gift), "lost")
    (remote_id,) = portal.scalars(sa.select(Refund.remote_id))

    portal.sandbox.post(f"refunds/{remote_id}/settle", outcome="failed")
    portal.send_all()

    row = the_gift(portal)
    assert (0, 5000) == (row.refunded_minor, row.lost_minor)
    assert "losses:stripe" not in books(portal)
    assert stripe_holds(portal) == clearing(portal)


def test_an_inquiry_moves_no_money(portal: Portal) -> None:
    """The bank only asks: a task with a deadline, no entry, and a refund stays possible."""
    gift = given(portal)
    inquiry = disputed(portal, gift, warning=True)
    portal.send_all()

    assert ["charge", "fee"] == sources(portal)
    assert ["The donor's bank asks about $50.00 (fraudulent). Answer in Stripe."] == (
        _open_tasks(portal)
    )
    refund(portal, the_gift(portal), 1000)
    _close(portal, inquiry, "warning_closed")
    assert [] == _open_tasks(portal)
    assert [("inquiry", "closed")] == portal.rows(
        sa.select(DisputeRecord.kind, DisputeRecord.status)
    )


@pytest.mark.parametrize(
    ("status", "sentence"), [("open", "is disputing this gift"), ("lost", "has taken this gift")]
)
def test_a_disputed_gift_cannot_be_refunded(portal: Portal, status: str, sentence: str) -> None:
    """Stripe refuses it, so we do, with a sentence, before anything is stored."""
    gift = given(portal)
    dispute = disputed(portal, gift)
    portal.send_all()
    if status == "lost":
        _close(portal, dispute, "lost")

    with pytest.raises(RefundRefused, match=sentence):
        ask(portal, gift, 100)


def test_a_lost_dispute_does_not_end_the_monthly_gift_silently(portal: Portal) -> None:
    """The monthly gift goes on, and staff are told to ask."""
    portal.give(amount="30", frequency="monthly")
    portal.send_all()
    dispute = disputed(portal, the_gift(portal))

    _close(portal, dispute, "lost")

    assert ["active"] == portal.scalars(sa.select(RecurringGift.status))
    (text,) = _open_tasks(portal)
    assert "The monthly gift goes on" in text


def test_a_dispute_in_another_currency_follows_the_balance(portal: Portal) -> None:
    """Euros, credited at one rate and taken at another: gift, clearing and exchange are right."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_100_000)
    gift = given(portal, currency="EUR")
    portal.sandbox.knobs(exchange_millionths=1_200_000)
    dispute = disputed(portal, gift)
    portal.send_all()
    assert 6000 == books(portal)["disputed:stripe"]

    _close(portal, dispute, "lost")

    found = books(portal)
    assert 5000 == the_gift(portal).lost_minor
    assert {"gifts:where-needed-most EUR", "disputed:stripe", "exchange:stripe EUR"}.isdisjoint(
        found
    )
    assert 500 == found["exchange:stripe"]
    assert stripe_holds(portal) == clearing(portal)


def test_a_dispute_won_in_another_currency_leaves_the_rate(portal: Portal) -> None:
    """What the rate took is exchange, and the gift is whole."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_100_000)
    gift = given(portal, currency="EUR")
    dispute = disputed(portal, gift)
    portal.send_all()
    portal.sandbox.knobs(exchange_millionths=1_080_000)

    _close(portal, dispute, "won")

    found = books(portal)
    assert 0 == the_gift(portal).lost_minor
    assert -5000 == found["gifts:where-needed-most EUR"]
    assert "disputed:stripe" not in found
    assert stripe_holds(portal) == clearing(portal)


def test_a_refund_found_after_the_dispute_was_lost_counts_first(portal: Portal) -> None:
    """A refund in the dashboard whose event was lost is found with the dispute."""
    gift = given(portal)
    refund_in_dashboard(portal, gift, 1500)
    dispute = disputed(portal, gift)
    portal.sandbox.post(f"disputes/{dispute}/close", status="lost")

    portal.send(portal.events("charge.dispute.closed")[-1])
    portal.work()

    row = the_gift(portal)
    assert (1500, 3500) == (row.refunded_minor, row.lost_minor)
    assert 1500 == books(portal)["losses:stripe"]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_dispute_is_mailed_to_those_who_look_after_the_money(portal: Portal) -> None:
    """Owners and finance get one mail with the deadline; others, and the donor, get none."""
    doorstep = Doorstep(portal.app, portal.settings, portal.engine)
    for role in (Role.OWNER, Role.FINANCE, Role.SUPPORT):
        doorstep.staff(f"{role}@example.org", role)
    gift = given(portal)

    disputed(portal, gift)
    portal.send_all()
    portal.send_all()

    to = sorted(message.address for message in doorstep.outbox() if message.kind == "staff-dispute")
    assert ["finance@example.org", "owner@example.org"] == to
    assert f"/staff/gifts/{gift.id}" in portal.mails("owner@example.org")[0]["text"]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_what_is_lost_of_all_gifts_is_in_the_books(portal: Portal) -> None:
    """Two gifts, one lost, one whole: the income is what is left of both."""
    first = given(portal)
    given(portal, email="other@example.org")

    _close(portal, disputed(portal, first), "lost")

    assert [5000, 0] == portal.scalars(sa.select(Gift.lost_minor).order_by(Gift.id))
    assert -5000 == books(portal)["gifts:where-needed-most"]
