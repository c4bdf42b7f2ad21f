"""Another card: left on Stripe's page, used by the monthly gift, whoever tells us first."""

import pytest
import sqlalchemy as sa

from donorportal.giving.models import Gift, RecurringStatus
from donorportal.giving.partner.models import Action
from tests.partner.walking import Partner, signed_in, words_of
from tests.portal_in_process import hidden

_OTHER_CARD = "5555555555554444"
_DECLINED_LATER = "4000000000000341"


def leave(partner: Partner, card: str = _OTHER_CARD) -> str:
    """Go to Stripe's page, type a card, and return the path to which one is sent back."""
    answer = partner.confirm(Action.CARD, partner.form(Action.CARD, look="1"))
    assert answer.status_code == 303, answer.text
    location = str(partner.portal.sandbox.pay(answer.location, card=card).headers["Location"])
    return location.removeprefix(partner.portal.settings.public_url)


@pytest.mark.parametrize("first", ["the donor", "the webhook", "only the webhook"])
def test_a_card_is_used_whoever_tells_us(partner: Partner, first: str) -> None:
    """Back from Stripe's page or by Stripe's event, in any order, it is one change and one mail."""
    back = leave(partner)
    if first != "the donor":
        partner.portal.send_all()
    landed = "" if first == "only the webhook" else partner.client.get(back).location
    partner.portal.send_all()
    partner.client.get(back)

    assert partner.changes() == [(Action.CARD, "done")]
    assert partner.gift.card_last4 == "4444"
    assert partner.confirmations() == ["Your monthly gift has a new card, ending in 4444"]
    assert partner.acts() == [(f"donor:{partner.gift.donor_id}", "monthly gift: card")]
    if landed:
        assert "has a new card, ending in 4444" in words_of(partner.client.get(landed).text)


def test_the_open_charge_is_paid_with_the_new_card(partner: Partner) -> None:
    """Who is in arrears and leaves another card is charged at once, and in arrears no more."""
    partner.portal.sandbox.knobs(next_card="insufficient_funds")
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()
    before = partner.gift.status
    shown = words_of(partner.look(Action.CARD).text)
    partner.client.get(leave(partner))

    assert before == RecurringStatus.PAST_DUE
    assert "asked of the new card at once" in shown
    assert partner.gift.status == RecurringStatus.ACTIVE
    assert partner.portal.scalars(sa.select(Gift.card_last4).order_by(Gift.id)) == ["4242", "4444"]


def test_a_card_that_is_declined_stays_and_the_donor_is_told(partner: Partner) -> None:
    """The new card does not pay either: it stays, the page says so in neutral words."""
    partner.portal.sandbox.knobs(next_card="insufficient_funds")
    partner.portal.sandbox.advance(days=32)
    partner.portal.send_all()
    back = leave(partner, _DECLINED_LATER)
    page = words_of(partner.client.get(partner.client.get(back).location).text)

    assert partner.changes() == [(Action.CARD, "done")]
    assert "did not pay the open charge with this card either" in page
    assert "decline" not in page
    assert partner.gift.status == RecurringStatus.PAST_DUE
    assert partner.portal.scalars(sa.select(Gift.amount_minor)) == [3000]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_double_click_opens_one_page(partner: Partner) -> None:
    """The same form leads to the same page at Stripe."""
    form = partner.form(Action.CARD, look="1")
    answers = [partner.confirm(Action.CARD, form) for _ in range(2)]

    assert answers[0].location == answers[1].location
    assert len(partner.portal.sandbox.listed("checkout/sessions")) == 2  # It began with one.


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_card_for_what_has_ended_changes_nothing(partner: Partner) -> None:
    """Stopped while Stripe's page was open: the card is left alone."""
    back = leave(partner)
    partner.change(Action.END)
    answer = partner.client.get(back)
    partner.portal.send_all()

    assert answer.status_code == 303
    assert partner.changes() == [(Action.END, "done")]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("session", ["", "cs_unheard_of", "pi_1", "the giving page"])
def test_only_the_page_of_this_gift_counts(partner: Partner, session: str) -> None:
    """A made-up session, or the page of something else, changes no card."""
    if session == "the giving page":
        session = partner.portal.sandbox.listed("checkout/sessions")[0]["id"]
    answer = partner.client.get(f"/portal/partner/{partner.gift.id}/card-left?cs={session}")

    assert answer.status_code == 303
    assert partner.changes() == []


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_somebody_elses_card_is_not_taken(partner: Partner) -> None:
    """A stranger who opens the address of the return finds nothing."""
    back = leave(partner)
    partner.portal.give(email="umber.tagus@example.org")
    partner.portal.send_all()
    theirs = sa.select(Gift.donor_id).where(Gift.recurring_gift_id.is_(None))
    (stranger_id,) = partner.portal.scalars(theirs)

    assert signed_in(partner.portal, stranger_id).get(back).status_code == 404
    assert hidden(partner.home, "csrf_token")
