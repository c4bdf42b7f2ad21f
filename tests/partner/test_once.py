"""A monthly gift by mistake becomes a single one: the first stays, everything else is undone."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from donorportal.clock import from_timestamp
from donorportal.giving.models import Gift, RecurringGift, RecurringStatus
from donorportal.giving.partner.models import Action
from tests.partner.walking import Partner, words_of


def charge_again(partner: Partner) -> None:
    """Let a second charge come two days after the first; none of its events has arrived."""
    began = partner.remote["items"]["data"][0]["current_period_start"]
    monthly = partner.portal.gateway.monthly
    monthly.move_day(partner.gift.remote_id or "", from_timestamp(began + 172_800), key="sooner")
    partner.portal.sandbox.advance(days=3)


def test_only_the_first_gift_stays(partner: Partner) -> None:
    """The page names what is kept and what goes back, then exactly that happens, once."""
    charge_again(partner)
    partner.portal.send_all()
    shown = words_of(partner.look(Action.ONCE).text)
    form = partner.form(Action.ONCE)
    answers = [partner.confirm(Action.ONCE, form) for _ in range(2)]
    page = words_of(partner.client.get(answers[0].location).text)
    partner.portal.send_all()
    partner.portal.sandbox.advance(days=70)
    partner.portal.send_all()

    assert "You keep your gift of $30 of" in shown
    assert "goes back to your card" in shown
    assert "These will not be charged" in shown
    assert "Your monthly gift is now a single gift" in page
    assert partner.gift.status == RecurringStatus.ENDED
    refunded = sa.select(Gift.amount_minor, Gift.refunded_minor).order_by(Gift.received_at)
    assert [tuple(row) for row in partner.portal.rows(refunded)] == [(3000, 0), (3000, 3000)]
    assert len(partner.portal.sandbox.listed("refunds")) == 1
    assert "Your monthly gift is now a single gift" in partner.confirmations()


def test_what_we_have_not_heard_of_is_undone_too(partner: Partner) -> None:
    """A charge whose events never came is found at Stripe and goes back as well."""
    charge_again(partner)
    partner.change(Action.ONCE)
    partner.portal.send_all()

    refunded = sa.select(Gift.amount_minor, Gift.refunded_minor).order_by(Gift.received_at)
    assert [tuple(row) for row in partner.portal.rows(refunded)] == [(3000, 0), (3000, 3000)]


def test_a_silent_stripe_refunds_later(partner: Partner) -> None:
    """No answer to the refund: the gift is single at once, and the refund's own job sends it."""
    charge_again(partner)
    partner.portal.send_all()
    form = partner.form(Action.ONCE)
    partner.portal.sandbox.fault("500_before", method="POST", path="/v1/refunds", count=3)
    partner.confirm(Action.ONCE, form)
    before = partner.portal.sandbox.listed("refunds")
    partner.portal.sandbox.knobs(faults=[])
    with partner.portal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE job SET run_at = created_at WHERE state = 'ready'"))
    partner.portal.work()

    assert before == []
    assert partner.changes() == [(Action.ONCE, "done")]
    assert [one["amount"] for one in partner.portal.sandbox.listed("refunds")] == [3000]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_after_two_weeks_it_is_no_mistake_any_more(partner: Partner) -> None:
    """Fifteen days later it is not offered, and the address leads back."""
    offered = partner.home
    earlier = partner.gift.started_at
    assert earlier is not None
    with partner.portal.engine.begin() as connection:
        old = earlier - timedelta(days=15)
        connection.execute(sa.update(RecurringGift).values(started_at=old))
    answer = partner.look(Action.ONCE)

    assert "I meant to give once" in offered
    assert "I meant to give once" not in partner.home
    assert answer.status_code == 303
