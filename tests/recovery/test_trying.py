"""A donor tries the card again, on the page of the failed charge."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from donorportal.audit.models import AuditRecord
from donorportal.db import writing_session
from donorportal.giving.models import Gift, GiftStatus, RecurringStatus
from donorportal.giving.recovery import trying
from donorportal.giving.recovery.models import ChargeState, ChargeTry, TryOutcome
from donorportal.jobs.queueing import enqueue
from tests.portal_in_process import hidden
from tests.recovery.months import RETRIES, Months, signed_in

# The first try and the two that the SDK makes by itself.
_TRIES = 3


def _where(months: Months) -> str:
    return f"/portal/partner/{months.gift.id}/charge"


def _try(months: Months, browser: FlaskClient, *, key: str | None = None) -> TestResponse:
    page = browser.get(_where(months)).text
    fields = {"csrf_token": hidden(page, "csrf_token"), "key": key or hidden(page, "key")}
    return browser.post(_where(months), data=fields)


def _outcomes(months: Months) -> list[str | None]:
    return months.portal.scalars(sa.select(ChargeTry.outcome).order_by(ChargeTry.id))


def _charged(months: Months) -> int:
    return len(months.portal.sandbox.requests("POST", "/v1/invoices/"))


def test_a_card_that_works_again_recovers_the_gift(months: Months) -> None:
    """One press of the button, and the month is a gift with a receipt; the schedule is over."""
    months.fail()
    browser = months.browser()
    page = browser.get(_where(months)).text
    months.let_fail(None)
    answer = _try(months, browser)
    after = browser.get(answer.location).text
    months.portal.send_all()
    months.pass_days(sum(RETRIES))

    assert "Your bank did not pay your monthly gift" in page
    assert "We ask your bank again on" in page
    assert (303, _where(months)) == (answer.status_code, answer.location)
    assert "Your gift of <strong>$30</strong> has arrived" in after
    assert (RecurringStatus.ACTIVE, ChargeState.RECOVERED) == (
        months.gift.status,
        months.charge.state,
    )
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()[:2]
    assert ["charge-failed"] == months.kinds()
    assert [TryOutcome.PAID] == _outcomes(months)
    assert [(f"donor:{months.gift.donor_id}", "try charge")] == [
        tuple(act) for act in months.portal.rows(sa.select(AuditRecord.actor, AuditRecord.action))
    ]


def test_a_card_that_is_declined_again_changes_nothing(months: Months) -> None:
    """The page says so in neutral words and what may help; the schedule of retries stays."""
    months.fail("do_not_honor")
    before = months.charge
    browser = months.browser()
    answer = _try(months, browser)
    page = browser.get(answer.location).text
    months.portal.send_all()

    assert "Your bank did not pay this time either" in page
    assert "honor" not in page
    assert "Use another card" in page
    assert f'href="/portal/partner/{months.gift.id}/card"' in page
    assert [TryOutcome.UNPAID] == _outcomes(months)
    assert (before.tries, before.next_try_at) == (months.charge.tries, months.charge.next_try_at)
    assert ["charge-failed"] == months.kinds()


def test_the_same_form_twice_is_one_try(months: Months) -> None:
    """A double click asks the bank once."""
    months.fail()
    browser, key, before = months.browser(), str(uuid4()), _charged(months)
    answers = [_try(months, browser, key=key) for _ in range(2)]

    assert [303, 303] == [answer.status_code for answer in answers]
    assert 1 == _charged(months) - before
    assert [TryOutcome.UNPAID] == _outcomes(months)


def test_the_bank_is_not_asked_all_day(months: Months) -> None:
    """After three tries in a day the page asks for another card or another day."""
    months.fail()
    browser = months.browser()
    answers = [_try(months, browser).status_code for _ in range(trying.MOST_PER_DAY)]
    refused = _try(months, browser)

    assert [303] * trying.MOST_PER_DAY == answers
    assert 429 == refused.status_code
    assert "Your bank was asked 3 times today" in refused.text
    assert trying.MOST_PER_DAY == len(_outcomes(months))


def test_no_answer_is_no_claim_and_the_same_form_finishes_it(months: Months) -> None:
    """While Stripe is silent the page claims nothing; its form carries the same key."""
    months.fail()
    months.let_fail(None)
    browser = months.browser()
    months.portal.sandbox.fault("500_before", method="POST", path="/v1/invoices", count=_TRIES)
    silent = _try(months, browser)
    months.portal.sandbox.knobs(faults=[])
    again = _try(months, browser, key=hidden(silent.text, "key"))

    assert 503 == silent.status_code
    assert "We cannot say yet what came of it" in silent.text
    assert 303 == again.status_code
    assert [TryOutcome.PAID] == _outcomes(months)
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()


@pytest.mark.parametrize("asked", [True, False], ids=["after the call", "before the call"])
def test_a_crash_in_between_is_finished_by_the_clock(months: Months, asked: bool) -> None:
    """Whoever dies between the row and the answer leaves a try that a job finishes, once."""
    months.fail()
    months.let_fail(None)
    key = uuid4()
    with writing_session(months.portal.engine) as session:
        wish = trying.ask(session, months.gift.id, key=key, actor="donor:1")
    assert wish is not None
    if asked:
        trying.attempt(months.portal.gateway, wish)
    _sweep(months)
    assert [None] == _outcomes(months), "somebody may still be waiting for the answer"
    _let_minutes_pass(months, 3)
    _sweep(months)
    _sweep(months)

    assert [TryOutcome.PAID] == _outcomes(months)
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    assert 1 == len(months.portal.rows(sa.select(AuditRecord.id)))


def test_a_wish_of_yesterday_is_only_looked_at(months: Months) -> None:
    """After a day nobody is charged for a press of a button that they have forgotten."""
    months.fail()
    months.let_fail(None)
    with writing_session(months.portal.engine) as session:
        trying.ask(session, months.gift.id, key=uuid4(), actor="donor:1")
    _let_minutes_pass(months, 24 * 60)
    _sweep(months)

    assert [TryOutcome.UNPAID] == _outcomes(months)
    assert RecurringStatus.PAST_DUE == months.gift.status


def test_a_charge_that_was_paid_meanwhile_is_not_tried(months: Months) -> None:
    """The button on a page that is out of date leads to the page as it is now."""
    months.fail()
    browser = months.browser()
    page = browser.get(_where(months)).text
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1)
    fields = {"csrf_token": hidden(page, "csrf_token"), "key": hidden(page, "key")}
    answer = browser.post(_where(months), data=fields)

    assert 303 == answer.status_code
    assert "has arrived" in browser.get(answer.location).text
    assert [] == _outcomes(months)
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()


def test_paid_at_stripe_before_we_heard_of_it(months: Months) -> None:
    """A try of what Stripe holds paid already is no error: it ends as paid."""
    months.fail()
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1, told=False)
    browser = months.browser()
    _try(months, browser)

    assert [TryOutcome.PAID] == _outcomes(months)
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()


def test_only_ones_own_charge_is_found(months: Months) -> None:
    """Somebody else's failed charge is not found, read or written."""
    months.fail()
    months.portal.give(email="umber.tagus@example.org")
    months.portal.send_all()
    (other,) = months.portal.scalars(
        sa.select(Gift.donor_id).where(Gift.email == "umber.tagus@example.org")
    )
    stranger = signed_in(months.portal, other)
    token = hidden(stranger.get("/portal/").text, "csrf_token")
    before = _charged(months)

    assert 404 == stranger.get(_where(months)).status_code
    assert 404 == stranger.post(_where(months), data={"csrf_token": token}).status_code
    assert 404 == stranger.get(f"/portal/partner/{10**20}/charge").status_code
    assert 403 == months.browser().post(_where(months), data={}).status_code
    assert before == _charged(months)


def test_a_lapsed_gift_says_so_on_its_page(months: Months) -> None:
    """At the end the page says that it ended, that nothing is owed, and how to begin again."""
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    page = months.browser().get(_where(months)).text

    assert "Your monthly gift has ended" in page
    assert "you owe nothing" in page
    assert "Try my card now" not in page


def _sweep(months: Months) -> None:
    with writing_session(months.portal.engine) as session:
        enqueue(session, trying.FINISH_TASK)
    months.portal.work()


def _let_minutes_pass(months: Months, minutes: int) -> None:
    with writing_session(months.portal.engine) as session:
        for row in session.scalars(sa.select(ChargeTry)):
            row.asked_at -= timedelta(minutes=minutes)
