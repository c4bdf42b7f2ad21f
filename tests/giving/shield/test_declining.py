"""Declined cards: counted once, answered with a block, and never explained to who tries."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from donorportal import clock
from donorportal.db import writing_session
from donorportal.giving.models import Gift, RecurringGift
from donorportal.giving.shield import holds
from donorportal.giving.shield.models import Decline
from donorportal.limits.models import RateCount
from donorportal.webhooks.models import InboundEvent
from tests.giving.shield.attacking import Attack, asks_for_work, still
from tests.portal_in_process import Portal

_DECLINED = "4000000000000002"
_BLOCKED = "We cannot take this gift now. Please try again in 1 day, or write to us."


@pytest.fixture
def attack(portal: Portal) -> Attack:
    """Robots at the door of a portal with the limits of production."""
    return Attack(portal)


def test_a_decline_counts_once_for_everything_it_came_from(attack: Attack) -> None:
    """However often an event comes, a charge counts once for mailbox, place, card and site."""
    attack.decline(attack.send())
    for event in attack.portal.events("charge.failed") * 2:
        attack.portal.send(event)
    attack.portal.work()

    counts = dict(
        attack.portal.rows(
            sa.select(RateCount.key, RateCount.count).where(RateCount.key.like("declined:%"))
        )
    )
    assert {"address", "card", "email", "network"} == {key.split(":")[1] for key in counts}
    assert {1} == set(counts.values())
    assert ["generic_decline"] == attack.portal.scalars(sa.select(Decline.reason))


@pytest.mark.parametrize("frequency", ["once", "monthly"])
def test_five_declines_on_a_page_close_it(attack: Attack, frequency: str) -> None:
    """Whoever tests cards on one page finds it closed, and the form refuses them for a day."""
    with still():
        page = attack.send(address="203.0.113.9", email="t@example.org", frequency=frequency)
        attack.decline(page, times=5)

        assert 303 != attack.portal.sandbox.pay(page.location).status_code
        same_address = attack.send(address="203.0.113.9")
        same_mailbox = attack.send(email="T@example.org")
        somebody_else = attack.send(address="203.0.113.10")

    table = RecurringGift if frequency == "monthly" else Gift
    assert "abandoned" == attack.portal.scalars(sa.select(table.status).order_by(table.id))[0]
    for answer in (same_address, same_mailbox):
        assert 429 == answer.status_code
        assert _BLOCKED in answer.text
    assert 303 == somebody_else.status_code
    assert "quarantined" not in attack.portal.scalars(sa.select(InboundEvent.state))


def test_a_card_over_its_limit_finds_no_open_page_anywhere(attack: Attack) -> None:
    """One card from five places: the page is closed, and so is each that it is tried on later."""
    with still():
        pages = [attack.send() for _ in range(6)]
        for page in pages[:5]:
            attack.decline(page)
        first = attack.portal.sandbox.pay(pages[0].location, card=_DECLINED)
        attack.decline(pages[5])

        assert 303 != attack.portal.sandbox.pay(pages[4].location).status_code
        assert 303 != attack.portal.sandbox.pay(pages[5].location).status_code
        assert first.status_code != 303
        assert 303 == attack.send().status_code, "nobody else is blocked"


def test_a_block_ends_after_a_day_and_staff_can_lift_it(attack: Attack) -> None:
    """A donor whose card was declined too often is not shut out for good."""
    with still() as now:
        attack.decline(attack.send(email="t@example.org"), times=5)
        assert 429 == attack.send(email="t@example.org").status_code
        with writing_session(attack.portal.engine) as session:
            assert 3 == holds.release_everybody(session)
        assert 303 == attack.send(email="t@example.org").status_code

        attack.decline(attack.send(email="u@example.org"), card="4000000000009995", times=5)
        assert 429 == attack.send(email="u@example.org").status_code
        now.shift(timedelta(days=1, seconds=1))
        # Stripe's clock was left behind, so that it finds fault with the page we ask for.
        assert 500 == attack.send(email="u@example.org").status_code


def test_many_declines_of_a_network_ask_it_for_work(attack: Attack) -> None:
    """A network may be a university: its visitors do a little work, and nobody is shut out."""
    with still() as now:
        _count("network", attack, 24)
        attack.decline(attack.send(address="198.51.100.1"))
        now.shift(timedelta(minutes=1))

        assert asks_for_work(attack.send(address="198.51.100.2"))
        assert 303 == attack.send().status_code


def test_when_most_cards_are_declined_everybody_works(attack: Attack) -> None:
    """A2: of the last twenty payments more than half were declined: the alarm sounds."""
    with still() as now:
        for _ in range(9):
            attack.portal.sandbox.pay(attack.send().location)
        attack.portal.send_all()
        _declined_before(attack, 10)
        assert 303 == attack.send().status_code, "nineteen payments say nothing yet"
        now.shift(timedelta(minutes=1))
        attack.decline(attack.send())
        answer = attack.send()

    assert asks_for_work(answer)
    assert "declines" == attack.standing(holds.SITE)[holds.SITE].why


def test_half_of_the_cards_declined_is_a_bad_day_and_no_attack(attack: Attack) -> None:
    """Ten of twenty is not more than half."""
    with still():
        for _ in range(10):
            attack.portal.sandbox.pay(attack.send().location)
        attack.portal.send_all()
        _declined_before(attack, 9)
        attack.decline(attack.send())

        assert {} == attack.standing(holds.SITE)


def test_renewals_are_nobodys_attempts(attack: Attack) -> None:
    """A monthly gift that cannot be charged counts as no decline of the donor's, ever."""
    attack.portal.give(frequency="monthly", amount="30")
    attack.portal.send_all()
    attack.portal.sandbox.knobs(next_card="generic_decline")
    attack.portal.sandbox.advance(days=32)
    attack.portal.send_all()

    assert attack.portal.events("charge.failed")
    assert [] == attack.portal.scalars(sa.select(Decline.reason))


def test_a_signed_in_donor_is_blocked_by_own_declines_only(attack: Attack) -> None:
    """Strangers can have a mailbox blocked, but not the donor it belongs to, once signed in."""
    with still():
        attack.portal.give(email="ada@example.org")
        attack.portal.send_all()
        client = _signed_in(attack)
        attack.decline(attack.send(email="ada@example.org"), times=5)
        assert 429 == attack.send(email="ada@example.org").status_code
        answer = attack.send(client=client, email="ada@example.org", again="1")
        assert 303 == answer.status_code

        _count("donor", attack, 9)
        attack.decline(answer)
        assert 429 == attack.send(client=client, again="1").status_code


def test_a6_no_page_says_why_a_card_was_declined(attack: Attack) -> None:
    """A6: whatever the bank said, donors and testers read the same neutral sentences."""
    pages = []
    with still():
        for card in ("4000000000009995", "4000000000000069", "4000000000009987"):
            attack.decline(attack.send(email="t@example.org"), card=card, times=5)
            pages.append(attack.send(email="t@example.org").text)
            newest = sa.select(Gift.checkout_remote_id).order_by(Gift.id.desc()).limit(1)
            (remote,) = attack.portal.scalars(newest)
            pages.append(attack.portal.client().get(f"/give/thanks?cs={remote}").text)
            with writing_session(attack.portal.engine) as session:
                holds.release_everybody(session)

    said = {"insufficient", "expired_card", "lost", "stolen", "declin"}
    assert not [word for word in said for page in pages if word in page.lower()]
    assert {"insufficient_funds", "expired_card", "lost_card"} == set(
        attack.portal.scalars(sa.select(Decline.reason))
    )


def test_what_a_gift_came_from_is_forgotten_when_money_arrives(attack: Attack) -> None:
    """Only attempts remember where they came from, and only as marks."""
    attack.send()
    attack.portal.give(email="ada@example.org")
    attack.portal.give(email="bea@example.org", frequency="monthly")
    attack.portal.send_all()

    once = dict(attack.portal.rows(sa.select(Gift.status, Gift.origin)))
    monthly = dict(attack.portal.rows(sa.select(RecurringGift.status, RecurringGift.origin)))
    assert {"address", "network"} == set(once["started"])
    assert ({}, {}) == (once["received"], monthly["active"])


def _count(kind: str, attack: Attack, count: int) -> None:
    """Let there have been so many declines of every mark of a kind; visitors come later."""
    origins = attack.portal.scalars(sa.select(Gift.origin))
    known = {origin[kind] for origin in origins if kind in origin}
    if kind == "network":
        probe = attack.send(address="198.51.100.250")
        assert 303 == probe.status_code
        known = {attack.portal.scalars(sa.select(Gift.origin).order_by(Gift.id.desc()))[0][kind]}
    start = clock.now().replace(minute=clock.now().minute // 10 * 10, second=0, microsecond=0)
    with writing_session(attack.portal.engine) as session:
        for text in known:
            session.add(RateCount(key=f"declined:{text}", window_start=start, count=count))


def _declined_before(attack: Attack, number: int) -> None:
    with writing_session(attack.portal.engine) as session:
        for n in range(number):
            charge = f"ch_earlier{n}"
            session.add(Decline(charge_remote_id=charge, at=clock.now(), reason="generic_decline"))


def _signed_in(attack: Attack) -> FlaskClient:
    donor_id = attack.portal.scalars(sa.select(Gift.donor_id))[0]
    client = attack.portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"donor:{donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000
    return client
