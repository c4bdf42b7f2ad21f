"""What attempts leave behind goes away by itself."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine

from donorportal import clock
from donorportal.db import writing_session
from donorportal.giving.models import Gift, GiftEvent, RecurringGift
from donorportal.giving.shield import forgetting, holds
from donorportal.giving.shield.models import Decline, ShieldHold
from donorportal.jobs import queueing
from tests.portal_in_process import Portal


def test_abandoned_attempts_are_deleted_after_a_month(portal: Portal) -> None:
    """Names and addresses of people who never gave are not kept; gifts that arrived are."""
    portal.give(email="ada@example.org")
    portal.give(email="bea@example.org", frequency="monthly")
    for frequency in ("once", "monthly"):
        portal.post(email="nobody@example.org", frequency=frequency)
    portal.sandbox.advance(days=1)
    portal.send_all()
    assert ["nobody@example.org"] * 2 == _abandoned(portal)

    with time_machine.travel(clock.now() + timedelta(days=29)):
        _forget(portal, "before")
    assert ["nobody@example.org"] * 2 == _abandoned(portal)
    with time_machine.travel(clock.now() + timedelta(days=32)):
        _forget(portal, "after")

    assert [] == _abandoned(portal)
    assert {"received"} == set(portal.scalars(sa.select(Gift.status)))
    assert ["active"] == portal.scalars(sa.select(RecurringGift.status))


def test_the_database_lets_no_other_history_go(portal: Portal) -> None:
    """Even with the right to delete, the history of a gift with money in it stays."""
    portal.give()
    portal.send_all()

    with pytest.raises(sa.exc.SQLAlchemyError, match="append-only"), portal.engine.begin() as held:
        held.execute(sa.delete(GiftEvent))


def test_declines_and_blocks_are_forgotten(portal: Portal) -> None:
    """Two days after it mattered, nothing of a decline or of a block is left."""
    with writing_session(portal.engine) as session:
        at = clock.now()
        session.add(Decline(charge_remote_id="ch_1", at=at, reason="generic_decline"))
        holds.hold(session, "email:x", timedelta(days=1), why="declines")
    with time_machine.travel(clock.now() + timedelta(days=4)):
        _forget(portal, "later")

    assert ([], []) == (portal.rows(sa.select(Decline.at)), portal.rows(sa.select(ShieldHold.key)))


def _abandoned(portal: Portal) -> list[str]:
    return [
        email
        for table in (Gift, RecurringGift)
        for email in portal.scalars(sa.select(table.email).where(table.status == "abandoned"))
    ]


def _forget(portal: Portal, key: str) -> None:
    with writing_session(portal.engine) as session:
        queueing.enqueue(session, forgetting.FORGET_TASK, key=key)
    portal.work()
