"""Card testing (group A): who is let through to Stripe, and what the others leave behind."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from donorportal.db import writing_session
from donorportal.giving.models import Gift
from donorportal.giving.shield import holds
from donorportal.giving.shield.admitting import Proof, admit
from donorportal.giving.shield.marks import visitor
from donorportal.limits.counting import Limit, counted
from donorportal.limits.models import RateCount
from tests.giving.shield.attacking import Attack, asks_for_work, kept, solved, still
from tests.portal_in_process import Portal


@pytest.fixture
def attack(portal: Portal) -> Attack:
    """Robots at the door of a portal with the limits of production."""
    return Attack(portal)


def test_a1_one_address_opens_three_pages_a_minute(attack: Attack) -> None:
    """A1: of 200 forms from one address three reach Stripe; the rest get 429 and when to return."""
    with still():
        answers = [attack.send(address="203.0.113.9") for _ in range(200)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert (197, 3, 3) == (len(refused), attack.pages_opened, len(attack.portal.rows(_GIFTS)))
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in refused[:10])
    assert "in 1 minute" in refused[0].text


def test_a1_one_robot_does_not_make_everybody_work(attack: Attack) -> None:
    """Refusals of one address are no sign of an attack from everywhere: nobody else is slowed."""
    with still():
        for _ in range(100):
            attack.send(address="203.0.113.9")

        assert 303 == attack.send().status_code
        assert {} == attack.standing(holds.SITE)


def test_the_week_of_an_address_has_fifteen_gifts(attack: Attack) -> None:
    """Whoever comes back every minute is told so much later."""
    with still() as clock:
        statuses = []
        for _ in range(6):
            statuses += [attack.send(address="203.0.113.9").status_code for _ in range(3)]
            clock.shift(timedelta(minutes=1))
        answer = attack.send(address="203.0.113.9")

    assert [303] * 15 + [429] * 3 == statuses
    assert "day" in answer.text or "hour" in answer.text


@pytest.mark.parametrize("same", ["network", "email", "browser"])
def test_neither_network_mailbox_nor_browser_may_try_for_ever(attack: Attack, same: str) -> None:
    """Changing the address gains little where something else stays the same."""
    client = attack.portal.client()
    most = {"network": 10, "email": 5, "browser": 6}[same]
    with still():
        answers = [
            attack.send(
                address=f"198.51.100.{n + 1}" if same == "network" else None,
                email="Ada.River@Example.org" if same == "email" else f"r{n}@example.org",
                client=client if same == "browser" else None,
                again="1",
            )
            for n in range(most + 2)
        ]

    assert [303] * most + [429] * 2 == [answer.status_code for answer in answers]


def test_a2_an_attack_from_everywhere_meets_proof_of_work(attack: Attack) -> None:
    """A2: 200 addresses: thirty pages in the minute, then every visitor is asked for work."""
    with still():
        answers = [attack.send() for _ in range(200)]

    assert [303] * 30 == [answer.status_code for answer in answers[:30]]
    assert all(asks_for_work(answer) for answer in answers[30:])
    assert 30 == attack.pages_opened


def test_the_alarm_lasts_as_long_as_the_attack_and_ends_by_the_clock(attack: Attack) -> None:
    """A quarter of an hour after the last sign the form is as it was; nobody has to do anything."""
    with still() as clock:
        attack.until_asked()
        first = attack.standing(holds.SITE)[holds.SITE]
        clock.shift(timedelta(minutes=10))
        assert asks_for_work(attack.send()), "one form is no sign of an attack"
        assert first == attack.standing(holds.SITE)[holds.SITE]
        for _ in range(31):
            attack.send()
        longer = attack.standing(holds.SITE)[holds.SITE]
        clock.shift(timedelta(minutes=14))
        assert asks_for_work(attack.send())
        clock.shift(timedelta(minutes=2))
        after = attack.send()

    assert timedelta(minutes=15) == first.until - first.since
    assert (first.since, first.until + timedelta(minutes=10)) == (longer.since, longer.until)
    assert 303 == after.status_code


def test_the_work_grows_with_the_attack_to_a_ceiling(attack: Attack) -> None:
    """Twice the attempts cost each one twice the work, up to eight times."""
    with still():
        first = kept(attack.until_asked())["challenge"]
        with writing_session(attack.portal.engine) as session:
            for _ in range(600):
                counted(session, Limit("give:site", 1, timedelta(minutes=1)))
        later = kept(attack.send())["challenge"]

    assert ("16", "19") == (first.partition(".")[0], later.partition(".")[0])


def test_work_does_not_open_more_pages_than_the_site_can_take(attack: Attack) -> None:
    """Whoever has many computers is stopped by the ceiling for everybody together."""
    with still():
        asked = attack.until_asked()
        with writing_session(attack.portal.engine) as session:
            for _ in range(300):
                counted(session, Limit("give:site-proven", 1, timedelta(minutes=1)))
        answer = attack.send(address="192.0.2.4", **solved(asked))

    assert 429 == answer.status_code


def test_a8_one_address_with_many_mailboxes_leaves_a_handful_of_counters(attack: Attack) -> None:
    """A8: hundreds of tries from one address, each with another mailbox, are a dozen counters."""
    with still():
        for _ in range(200):
            attack.send(address="2001:db8::7")
        attack.send(address="2001:db8::8")

    assert 3 == attack.pages_opened, "a household of IPv6 counts as one address"
    assert 9 == len(attack.portal.rows(sa.select(RateCount.key)))


def test_a_donor_who_is_signed_in_is_not_slowed(attack: Attack) -> None:
    """A2: under attack, and after many gifts, a donor whom we know goes straight on to pay."""
    attack.portal.give()
    attack.portal.send_all()
    (donor_id,) = attack.portal.scalars(sa.select(Gift.donor_id))
    client = attack.portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"donor:{donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000
    with still():
        attack.until_asked()
        answers = [attack.send(client=client, address="203.0.113.9", again="1") for _ in range(8)]

    assert {303} == {answer.status_code for answer in answers}


def test_a8_an_attack_leaves_no_rows_behind_it(attack: Attack) -> None:
    """A8: 300 further tries from 300 places add no gift and no counter of their own."""
    with still():
        attack.until_asked()
        before = _rows(attack.portal)
        for _ in range(300):
            attack.send()
        after = _rows(attack.portal)

    assert 30 == before["gift"]
    assert before == after


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_a8_eighteen_thousand_tries(attack: Attack) -> None:
    """A8: the attack of 18,000 tries, without the pages around it; 30 get through."""
    settings, refused = attack.portal.settings, []
    nothing = Proof(form_key="", email_key="", challenge="", answer="", code_until="", code="")
    with still():
        for n in range(_TRIES):
            who = visitor(
                settings,
                address=f"10.{n // 65536}.{n // 256 % 256}.{n % 256}",
                email_key=f"robot{n}@example.org",
                browser=None,
                donor_id=None,
            )
            refused.append(admit(attack.portal.engine, who, nothing, settings=settings))

    counters = attack.portal.rows(sa.select(RateCount.key, RateCount.count))
    assert 30 == refused.count(None)
    assert _TRIES == dict(counters)["shield:tried"]
    # Two for each address of a network that was refused before the alarm, and no more.
    assert len(counters) < 3 * 2 * 256 + 200


def test_counting_is_exact_when_many_count_at_once(portal: Portal) -> None:
    """Eight threads that count the same limits, each in one statement, lose none of the counts."""
    limits = [Limit(f"test:{n}", 1, timedelta(weeks=1)) for n in range(4)]
    trouble: list[BaseException] = []

    def count(first: int) -> None:
        try:
            for _ in range(10):
                with writing_session(portal.engine) as session:
                    counted(session, *limits[first:], *limits[:first])
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            trouble.append(error)

    threads = [threading.Thread(target=count, args=(n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == trouble
    assert [80] * 4 == portal.scalars(
        sa.select(RateCount.count).where(RateCount.key.like("test:%"))
    )


def test_a_network_address_is_written_down_nowhere(attack: Attack) -> None:
    """Counters and gifts hold marks, from which nobody can tell where a donor was."""
    attack.send(address="203.0.113.9")

    keys = attack.portal.scalars(sa.select(RateCount.key))
    (origin,) = attack.portal.scalars(sa.select(Gift.origin))
    assert {"address", "network"} == set(origin)
    assert not [text for text in (*keys, *origin.values()) if "203.0" in text]


_GIFTS = sa.select(Gift.id)
_TRIES = 18_000


def _rows(portal: Portal) -> dict[str, int]:
    tables = ("gift", "recurring_gift", "rate_count", "job", "outbox_message", "shield_hold")
    with portal.engine.connect() as connection:
        return {
            table: connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0
            for table in tables
        }
