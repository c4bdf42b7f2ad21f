"""What donors read in their history about money that went back."""

import pytest

from donorportal.db import reading_session
from donorportal.giving import history
from donorportal.portal.presenting import gift_rows
from tests.portal_in_process import Portal
from tests.returns.happenings import disputed, given, refund, the_gift


def _status(portal: Portal) -> str:
    with reading_session(portal.engine) as session:
        page = history.gifts_of(session, _donor(portal))
    (row,) = gift_rows([], page.gifts, portal.settings.organisation)
    return row.status_text


def _total(portal: Portal) -> list[int]:
    with reading_session(portal.engine) as session:
        return [total.amount_minor for total in history.summary_of(session, _donor(portal)).totals]


def _donor(portal: Portal) -> int:
    return the_gift(portal).donor_id or 0


def test_a_dispute_is_shown_from_its_beginning_and_counts_at_its_end(portal: Portal) -> None:
    """Disputed says so and still counts; lost is taken off the year's total."""
    gift = given(portal)
    refund(portal, gift, 1000)
    dispute = disputed(portal, gift, amount=2000)
    portal.send_all()
    assert "Refunded $10 of $50, Disputed by your bank: $20 of $50" == _status(portal)
    assert [4000] == _total(portal)

    portal.sandbox.post(f"disputes/{dispute}/close", status="lost")
    portal.send_all()

    assert "Refunded $10 of $50, Taken back by your bank: $20 of $50" == _status(portal)
    assert [2000] == _total(portal)


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_what_went_back_as_a_whole_needs_no_numbers(portal: Portal) -> None:
    """All of it: one word."""
    gift = given(portal)
    assert "Received" == _status(portal)

    refund(portal, gift)

    assert "Refunded" == _status(portal)
    assert [0] == _total(portal)
