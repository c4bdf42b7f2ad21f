"""Every gift in arrears has an end, whatever Stripe was told to do after the last try."""

from datetime import timedelta

import pytest
import time_machine

from donorportal import clock
from donorportal.db import reading_session, writing_session
from donorportal.giving.models import GiftStatus, RecurringStatus
from donorportal.giving.recovery import figures, watching
from donorportal.giving.recovery.models import ChargeState
from donorportal.jobs.queueing import enqueue
from donorportal.metrics import waiting
from tests.recovery.months import RETRIES, Months


def _recheck(months: Months, *, days: int = 120) -> None:
    """Let the daily look happen at a time that is after all that the sandbox did."""
    with time_machine.travel(clock.now() + timedelta(days=days)):
        with writing_session(months.portal.engine) as session:
            enqueue(session, watching.RECHECK_TASK)
        months.portal.work()


@pytest.mark.parametrize("after_the_last_try", ["unpaid", "past_due"])
def test_what_stripe_leaves_open_is_ended_here(months: Months, after_the_last_try: str) -> None:
    """A subscription that stays unpaid for ever is ended the day after, and the donor told."""
    months.portal.sandbox.knobs(dunning_end=after_the_last_try)
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    assert (RecurringStatus.PAST_DUE, ChargeState.OPEN) == (
        months.gift.status,
        months.charge.state,
    )
    _recheck(months)
    months.portal.send_all()

    assert RecurringStatus.LAPSED == months.gift.status
    assert ChargeState.GIVEN_UP == months.charge.state
    assert ["charge-failed", "monthly-gift-lapsed"] == months.kinds()
    assert "canceled" == months.subscription["status"]
    assert "open" == months.portal.sandbox.listed("invoices")[0]["status"]


def test_nothing_is_ended_while_retries_are_to_come(months: Months) -> None:
    """The daily look leaves alone what Stripe is going to try again."""
    months.fail()
    _recheck(months)

    assert (RecurringStatus.PAST_DUE, ChargeState.OPEN) == (
        months.gift.status,
        months.charge.state,
    )
    assert "past_due" == months.subscription["status"]


@pytest.mark.parametrize("end", ["recovered", "lapsed"])
def test_the_daily_look_finds_what_no_event_told(months: Months, end: str) -> None:
    """All news is lost after the failure; the daily look brings state, gift and mail."""
    months.fail()
    if end == "recovered":
        months.let_fail(None)
    months.pass_days(sum(RETRIES) + 1, told=False)
    _recheck(months)

    if end == "recovered":
        assert RecurringStatus.ACTIVE == months.gift.status
        assert [GiftStatus.RECEIVED] * 2 == months.gifts()
        assert ["charge-failed"] == months.kinds()
    else:
        assert RecurringStatus.LAPSED == months.gift.status
        assert ["charge-failed", "monthly-gift-lapsed"] == months.kinds()


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_tidying_up_at_stripe_changes_no_history(months: Months) -> None:
    """A charge that was given up stays so when somebody voids it later."""
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    months.portal.gateway.monthly.void_open(months.subscription["id"])
    months.portal.send_all()

    assert (RecurringStatus.LAPSED, ChargeState.GIVEN_UP) == (
        months.gift.status,
        months.charge.state,
    )


def test_money_that_comes_after_the_end_is_a_gift(months: Months) -> None:
    """The page of a charge stays payable: paid late, it is booked, and the gift stays ended."""
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    months.let_fail(None)
    months.portal.gateway.monthly.pay(months.charge.invoice_remote_id, key="late")
    months.portal.send_all()

    assert RecurringStatus.LAPSED == months.gift.status
    assert ChargeState.RECOVERED == months.charge.state
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()


def test_the_share_that_recovered_is_known(months: Months) -> None:
    """Staff and /metrics see how many failed charges came good."""
    months.fail()
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1)
    months.fail()
    year = months.charges()[0].failed_at.year
    with reading_session(months.portal.engine) as session:
        found = [figures.of_year(session, each, "UTC") for each in (year, year + 1)]
        measured = waiting(session.connection())

    assert 1 == sum(each.recovered for each in found)
    assert 1 == sum(each.open for each in found)
    assert (1.0, 1.0) == (measured["charges_failed_recovered"], measured["charges_failed_open"])


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((31, 7, 2, 0), "Of 40 failed charges this year, 31 recovered, 78 %."),
        ((1, 0, 0, 2), "Of 1 failed charge this year, 1 recovered, 100 %. 2 more are still open."),
        ((0, 0, 0, 1), "1 failed charge this year, still open."),
        ((0, 0, 0, 0), "No charge of a monthly gift failed this year."),
    ],
)
def test_the_figure_is_a_sentence(counts: tuple[int, int, int, int], sentence: str) -> None:
    """The rate is of those that are decided; what is open is named beside it."""
    assert sentence == figures.Recovery(*counts).sentence
