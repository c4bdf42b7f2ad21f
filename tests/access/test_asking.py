"""F8: asking for a code tells nobody whether an address belongs to a donor."""

import math
import random
import time

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.access.people import Realm
from donorportal.db import writing_session
from donorportal.donors.models import Donor
from donorportal.jobs.models import Job
from tests.access.doorstep import DONOR, STAFF, STRANGER, Doorstep, csrf_token

_SAMPLES = 500
_ROUNDS = 4


@pytest.mark.parametrize(("realm", "known"), [(Realm.DONOR, DONOR), (Realm.STAFF, STAFF)])
def test_f8_both_get_the_same_answer(doorstep: Doorstep, realm: Realm, known: str) -> None:
    """Status, headers and pages are the same for an address we know and for one we do not."""
    doorstep.donor()
    doorstep.staff()
    seen = []
    for email in (known, STRANGER):
        browser = doorstep.browser()
        answer = doorstep.ask(browser, email, realm)
        page = browser.get(answer.location)
        text = page.text.replace(email, "?").replace(csrf_token(browser, answer.location), "?")
        headers = [
            (name, value.partition("=")[0] if name == "Set-Cookie" else value)
            for name, value in answer.headers
        ]
        seen.append((answer.status_code, headers, answer.text, page.status_code, text))

    assert seen[0] == seen[1]


def test_f8_both_leave_the_same_rows(doorstep: Doorstep) -> None:
    """Each request leaves one message and one job; what differs is which template it names."""
    doorstep.donor()
    for email in (DONOR, STRANGER):
        doorstep.ask(doorstep.browser(), email)

    with Session(doorstep.engine) as session:
        jobs = session.scalars(select(Job).order_by(Job.id)).all()
    messages = doorstep.outbox()

    assert [message.kind for message in messages] == ["sign-in-code", "sign-in-unknown"]
    assert messages[0].context == messages[1].context
    assert [(job.task, job.queue, sorted(job.args)) for job in jobs] == [
        ("access.mail_sign_in", "mail", ["message", "sign_in"])
    ] * 2


def test_f8_both_take_the_same_time(doorstep: Doorstep) -> None:
    """Over 500 requests the times for known and unknown addresses are not told apart.

    One run in a hundred would fail by chance, so a suspicion has to repeat itself.
    """
    with writing_session(doorstep.engine) as session:
        known = [f"known{n}@example.org" for n in range(_SAMPLES // 2 * _ROUNDS)]
        session.execute(
            insert(Donor),
            [{"email": email, "email_key": email, "created_at": clock.now()} for email in known],
        )
    for turn in range(_ROUNDS):
        if _chance_of_no_difference(*_times(doorstep, turn)) > 0.01:
            return

    pytest.fail("known and unknown addresses take different times")


def _times(doorstep: Doorstep, turn: int) -> tuple[list[float], list[float]]:
    browser = doorstep.browser()
    token = csrf_token(browser, "/sign-in")
    half = _SAMPLES // 2
    asks = [(name, n) for name in ("known", "other") for n in range(half * turn, half * (turn + 1))]
    random.Random(turn).shuffle(asks)
    times: dict[str, list[float]] = {"known": [], "other": []}
    for place, (name, n) in enumerate(asks):
        # From another network each time, so that no limit answers in place of the door.
        browser.environ_base["REMOTE_ADDR"] = f"10.{turn * 4 + place // 250}.{place % 250}.1"
        form = {"email": f"{name}{n}@example.org", "csrf_token": token}
        began = time.perf_counter()
        answer = browser.post("/sign-in", data=form)
        times[name].append(time.perf_counter() - began)
        assert answer.status_code == 303
    return times["known"], times["other"]


def _chance_of_no_difference(one: list[float], other: list[float]) -> float:
    """Return the p-value of the Mann-Whitney U test, by its normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    rank_sum = sum(rank for rank, (_, group) in enumerate(ranked, 1) if group == 0)
    n, m = len(one), len(other)
    u = rank_sum - n * (n + 1) / 2
    deviation = math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(u - n * m / 2) / deviation / math.sqrt(2))
