"""Proof of work and the code by e-mail: what is taken, once, and what is not."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from donorportal.db import writing_session
from donorportal.giving.models import Gift
from donorportal.giving.shield import puzzle
from donorportal.limits.models import RateCount
from tests.giving.shield.attacking import Attack, asks_for_work, kept, solution, solved, still
from tests.portal_in_process import Portal


@pytest.fixture
def attack(portal: Portal) -> Attack:
    """Robots at the door of a portal with the limits of production."""
    return Attack(portal)


def test_the_work_opens_the_way_and_nothing_typed_is_lost(attack: Attack) -> None:
    """The form that was stopped goes on to pay, with everything that was typed."""
    with still():
        attack.until_asked()
        asked = attack.send(name="Ada <River>", tribute_type="memory", tribute_name="Rosa")
        answer = attack.send(**solved(asked))

    assert 303 == answer.status_code
    last = attack.portal.scalars(sa.select(Gift).order_by(Gift.id.desc()))[0]
    assert ("Ada <River>", "Rosa", 5000) == (last.name, last.tribute_name, last.amount_minor)


def test_a_solution_is_good_once(attack: Attack) -> None:
    """A8: the same solution sent again, even for another amount, is asked for new work."""
    with still():
        form = solved(attack.until_asked())
        first = attack.send(**form)
        again = attack.send(**form)
        changed = attack.send(**form | {"amount": "75"})

    assert 303 == first.status_code
    assert asks_for_work(again)
    assert asks_for_work(changed)
    assert 31 == attack.pages_opened


@pytest.mark.parametrize(
    "trick",
    ["other form", "easier", "forged", "late", "wrong", "garbage", "huge", "unicode digits"],
)
def test_nothing_else_passes_for_work(attack: Attack, trick: str) -> None:
    """A solution of another form, of an easier challenge, forged or late is no solution."""
    with still() as clock:
        form = solved(attack.until_asked())
        text = form["challenge"]
        bits, rest = text.split(".", 1)
        fields: dict[str, Any] = {
            "other form": {"key": (key := str(uuid4())), "stamp": attack.portal.stamp(key)},
            "easier": {"challenge": f"1.{rest}", "answer": solution(f"1.{rest}", 1)},
            "forged": {"challenge": text[:-1] + ("0" if text[-1] != "0" else "1")},
            "late": {},
            "wrong": {"answer": str(int(form["answer"]) + 1)},
            "garbage": {"challenge": "x" * 5000, "answer": "-1"},
            "huge": {"challenge": f"{bits}.99999999999.{rest.split('.', 1)[1]}"},
            "unicode digits": {"answer": "١٢٣"},
        }[trick]
        if trick == "late":
            # The alarm is still on, because somebody keeps trying.
            clock.shift(timedelta(minutes=10))
            for _ in range(31):
                attack.send()
            clock.shift(timedelta(minutes=11))
        answer = attack.send(**form | fields)

    assert asks_for_work(answer)
    assert 30 == attack.pages_opened


def test_a_challenge_survives_a_change_of_secrets(portal: Portal) -> None:
    """While SECRET_KEY is being replaced, what was given out before is still taken."""
    key = str(uuid4())
    text = puzzle.challenge(portal.settings, key, 4)
    rotated = type(portal.settings)(
        **{name: getattr(portal.settings, name) for name in portal.settings.__slots__}
        | {"secret_key": "n" * 40, "secret_key_fallbacks": (portal.settings.secret_key,)}
    )
    with writing_session(portal.engine) as session:
        good = puzzle.solved(session, rotated, form_key=key, challenge=text, answer=solution(text))

    assert good


def test_without_a_script_a_code_by_mail_opens_the_way(attack: Attack) -> None:
    """The code comes to the address that was typed, is typed on a page, and works once."""
    with still():
        asked = attack.until_asked()
        email = kept(asked)["email"]
        page = attack.send(**kept(asked), mail_code="1")
        attack.portal.work()
        code = _mailed(attack.portal, email)
        answer = attack.send(**kept(page), code=f" {code[:4]}-{code[5:]} ")
        again = attack.send(**kept(page), code=code)

    assert email in page.text
    assert 303 == answer.status_code
    assert 422 == again.status_code
    assert email == attack.portal.scalars(sa.select(Gift.email).order_by(Gift.id.desc()))[0]


@pytest.mark.parametrize("trick", ["wrong", "other address", "other form", "later", "late"])
def test_a_code_is_for_one_form_one_address_and_a_while(attack: Attack, trick: str) -> None:
    """Changing anything about it makes a code worthless; what was typed is still there."""
    with still() as clock:
        asked = attack.until_asked()
        page = attack.send(**kept(asked), mail_code="1")
        attack.portal.work()
        form = kept(page)
        code = _mailed(attack.portal, form["email"])
        until = int(form["code_until"])
        fields: dict[str, Any] = {
            "wrong": {"code": "00000000"},
            "other address": {"email": "other@example.org"},
            "other form": {"key": (key := str(uuid4())), "stamp": attack.portal.stamp(key)},
            "later": {"code_until": str(until + 60)},
            "late": {},
        }[trick]
        if trick == "late":
            clock.shift(timedelta(minutes=14, seconds=59))
            for _ in range(31):
                attack.send()
            clock.shift(timedelta(seconds=1))
        answer = attack.send(**form | {"code": code} | fields)

    assert 422 == answer.status_code
    assert "Nothing was charged" in answer.text
    assert 'name="amount" value="50"' in answer.text


def test_guessing_codes_is_limited(attack: Attack) -> None:
    """After five tries even the right code is refused; a new one can be asked for."""
    with still():
        asked = attack.until_asked()
        page = attack.send(**kept(asked), mail_code="1")
        attack.portal.work()
        form = kept(page)
        for guess in range(5):
            attack.send(**form, code=f"{guess:08d}")
        answer = attack.send(**form, code=_mailed(attack.portal, form["email"]))

    assert 422 == answer.status_code


def test_our_form_does_not_fill_mailboxes(attack: Attack) -> None:
    """Three codes an hour for one mailbox, five for one address; nobody is told more."""
    with still():
        asked = attack.until_asked()
        same_mailbox = [
            attack.send(**kept(asked) | {"key": (key := str(uuid4())), "mail_code": "1"}
                        | {"stamp": attack.portal.stamp(key)}).status_code
            for _ in range(5)
        ]  # fmt: skip
        same_address = [
            attack.send(address="192.0.2.77", mail_code="1").status_code for _ in range(7)
        ]

    assert [200] * 3 + [429] * 2 == same_mailbox
    assert [200] * 5 + [429] * 2 == same_address


def test_the_outbox_holds_no_code(attack: Attack) -> None:
    """Whoever reads the database finds no code in it, before or after it was sent."""
    with still():
        attack.send(**kept(attack.until_asked()), mail_code="1")
        attack.portal.work()
        (email,) = attack.portal.rows(
            sa.text("SELECT address, context FROM outbox_message WHERE kind = 'gift-code'")  # type: ignore[arg-type]
        )
    code = _mailed(attack.portal, email.address).replace(" ", "")

    with attack.portal.engine.connect() as connection:
        for table in ("job", "outbox_message", "rate_count"):
            rows = connection.execute(sa.text(f"SELECT * FROM {table}")).all()
            assert code not in str(rows).replace(" ", "")


def test_back_to_the_form_keeps_what_was_typed(attack: Attack) -> None:
    """Whoever wants another address after all gets the form again, filled in."""
    with still():
        asked = attack.until_asked()
        page = attack.send(**kept(asked), change="1")

    assert 200 == page.status_code
    assert f'value="{kept(asked)["email"]}"' in page.text
    assert 30 == attack.pages_opened


def test_used_solutions_are_forgotten(attack: Attack) -> None:
    """A used solution is one counter, and counters are deleted after a week."""
    with still():
        attack.send(**solved(attack.until_asked()))

    used = attack.portal.scalars(
        sa.select(RateCount.window_start).where(RateCount.key.like("give:solved:%"))
    )
    assert 1 == len(used)


def _mailed(portal: Portal, email: str) -> str:
    found = re.search(r"Your code is (\d{4} \d{4})", portal.mails(email)[0]["text"])
    assert found
    return found[1]
