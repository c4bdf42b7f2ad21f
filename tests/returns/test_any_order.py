"""D6: what went back of a gift ends in the same books, however its events come."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from donorportal.db import writing_session
from donorportal.giving.models import Gift
from donorportal.giving.returns.models import DisputeRecord, GiftTask, Refund
from donorportal.giving.settlement import settle
from donorportal.ledger.models import Entry, Posting
from donorportal.mail.models import OutboxMessage
from tests.portal_in_process import Portal
from tests.returns import happenings
from tests.returns.happenings import clearing, disputed, refund_in_dashboard, stripe_holds

_EXAMPLES = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_ABOUT_RETURNS = ("charge.", "refund.", "radar.")
Step = Callable[[Portal, Gift, dict[str, str]], None]


def _refund(minor: int) -> Step:
    def step(portal: Portal, gift: Gift, made: dict[str, str]) -> None:
        made["refund"] = refund_in_dashboard(portal, gift, minor)

    return step


def _refund_fails(portal: Portal, _gift: Gift, made: dict[str, str]) -> None:
    portal.sandbox.post(f"refunds/{made['refund']}/settle", outcome="failed")


def _dispute(**how: Any) -> Step:
    def step(portal: Portal, gift: Gift, made: dict[str, str]) -> None:
        made["dispute"] = disputed(portal, gift, **how)

    return step


def _close(status: str, **more: int) -> Step:
    def step(portal: Portal, _gift: Gift, made: dict[str, str]) -> None:
        portal.sandbox.post(f"disputes/{made['dispute']}/close", status=status, **more)

    return step


def _warn(portal: Portal, gift: Gift, _made: dict[str, str]) -> None:
    portal.sandbox.post("fraud-warnings", charge=gift.charge_remote_id)


# Each with what it ends in: refunded, lost, and taken beyond the gift.
_STORIES: dict[str, tuple[list[Step], tuple[int, int, int]]] = {
    "a refund fails, another does not": (
        [_refund(1000), _refund(2000), _refund_fails],
        (1000, 0, 0),
    ),
    "refunded, then lost": ([_refund(1000), _dispute(), _close("lost")], (1000, 4000, 1000)),
    "lost, then the refund fails": (
        [_refund(1000), _dispute(), _close("lost"), _refund_fails],
        (0, 5000, 0),
    ),
    "asked about, refunded": (
        [_dispute(warning=True), _refund(5000), _close("warning_closed")],
        (5000, 0, 0),
    ),
    "warned, won in part": ([_warn, _dispute(), _close("won", amount=4000)], (0, 1000, 0)),
}


@pytest.mark.parametrize("story", _STORIES)
@_EXAMPLES
@given(data=st.data())
def test_d6_events_in_any_order_doubled_or_never_end_in_the_same_books(
    portal: Portal, story: str, data: st.DataObject
) -> None:
    """While a story goes on, some of its events come, old ones included; at the end they all do."""
    steps, expected = _STORIES[story]
    made: dict[str, str] = {}
    gift, known = happenings.given(portal), _ids(portal)
    for step in steps:
        step(portal, gift, made)
        for event in data.draw(st.lists(st.sampled_from(_new(portal, known)), max_size=3)):
            portal.send(event)
        portal.work()
    for event in data.draw(st.permutations(_new(portal, known))):
        portal.send(event)
    portal.work()
    settled = _state(portal)
    portal.send_all()

    assert settled == _state(portal)
    assert stripe_holds(portal) == clearing(portal)
    assert expected == _what_went_back(portal)


@pytest.mark.parametrize("story", _STORIES)
def test_d6_what_was_seen_earlier_changes_nothing_when_it_is_booked_late(
    portal: Portal, story: str
) -> None:
    """A slow worker books what it read before each step, after everything is settled."""
    steps, expected = _STORIES[story]
    made: dict[str, str] = {}
    gift = happenings.given(portal)
    old = [portal.gateway.observe(gift.payment_remote_id or "")]
    for step in steps:
        step(portal, gift, made)
        about = made.get("refund") or gift.payment_remote_id or ""
        old.append(portal.gateway.observe(about))
    portal.send_all()
    settled = _state(portal)

    for seen in (*old, *reversed(old)):
        assert seen is not None
        with writing_session(portal.engine) as session:
            settle(session, seen, cause="a slow worker", settings=portal.settings)

    assert settled == _state(portal)
    assert expected == _what_went_back(portal)


@pytest.mark.parametrize("story", _STORIES)
def test_d7_one_event_of_each_object_is_enough(portal: Portal, story: str) -> None:
    """All but the last event about each kind of object get lost; the books are right."""
    steps, expected = _STORIES[story]
    made: dict[str, str] = {}
    gift = happenings.given(portal)
    for step in steps:
        step(portal, gift, made)
    for prefix in ("refund.", "charge.dispute."):
        events = portal.events(prefix)
        if events:
            portal.send(events[-1])
    portal.work()

    assert expected == _what_went_back(portal)
    assert stripe_holds(portal) == clearing(portal)


def _ids(portal: Portal) -> set[str]:
    return {event["id"] for event in portal.events()}


def _new(portal: Portal, known: set[str]) -> list[dict[str, Any]]:
    return [
        event
        for event in portal.events()
        if event["id"] not in known and event["type"].startswith(_ABOUT_RETURNS)
    ]


def _what_went_back(portal: Portal) -> tuple[int, int, int]:
    gift = happenings.the_gift(portal)
    beyond = portal.scalars(
        sa.select(DisputeRecord.excess_minor).where(DisputeRecord.gift_id == gift.id)
    )
    return gift.refunded_minor, gift.lost_minor, sum(beyond)


def _state(portal: Portal) -> list[Any]:
    """Return everything that must not depend on the order of events."""
    return [
        *portal.rows(sa.select(Gift.refunded_minor, Gift.lost_minor, Gift.disputed_minor)),
        *portal.rows(
            sa.select(
                Refund.remote_id, Refund.status, Refund.refunded_on, Refund.failed_on
            ).order_by(Refund.remote_id)
        ),
        *portal.rows(
            sa.select(DisputeRecord.remote_id, DisputeRecord.status, DisputeRecord.lost_minor)
        ),
        *portal.rows(
            sa.select(Entry.source, Posting.account, Posting.currency, Posting.amount_minor)
            .join(Posting, Posting.entry_id == Entry.id)
            .order_by(Entry.source, Posting.account, Posting.currency)
        ),
        *portal.rows(sa.select(GiftTask.key, GiftTask.settled_by).order_by(GiftTask.key)),
        *portal.rows(sa.select(OutboxMessage.key).order_by(OutboxMessage.key)),
    ]
