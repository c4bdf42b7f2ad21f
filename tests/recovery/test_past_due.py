"""From the first decline to the end: past due, then recovered or lapsed, with one mail for each."""

import itertools
import random

import pytest
import sqlalchemy as sa

from donorportal.giving.models import GiftStatus, RecurringStatus
from donorportal.giving.recovery import charges
from donorportal.giving.recovery.models import ChargeState
from donorportal.giving.recovery.reasons import Reason, reason_of
from donorportal.jobs.models import Job
from donorportal.jobs.running import drain
from donorportal.mail.models import OutboxMessage
from donorportal.mail.render import render
from donorportal.mail.transport import SmtpTransport
from donorportal.worker import build_tasks
from tests.recovery.months import RETRIES, Months

_CODES = {
    "insufficient_funds": Reason.FUNDS,
    "expired_card": Reason.EXPIRED,
    "authentication_required": Reason.AUTHENTICATION,
    "processing_error": Reason.PASSING,
    "generic_decline": Reason.OTHER,
    "do_not_honor": Reason.OTHER,
    "fraudulent": Reason.OTHER,
    "lost_card": Reason.OTHER,
    "stolen_card": Reason.OTHER,
    "card_velocity_exceeded": Reason.OTHER,
    "incorrect_cvc": Reason.OTHER,
}


def test_each_reason_leads_to_a_mail_that_fits_and_never_names_it(months: Months) -> None:
    """Month after month another decline: one mail each, in words that help, without the code."""
    for number, code in enumerate(_CODES, 1):
        months.fail(code)
        charge, mails = months.charges()[-1], months.mails("charge-failed")
        assert RecurringStatus.PAST_DUE == months.gift.status
        assert (ChargeState.OPEN, code, 1) == (charge.state, charge.reason, charge.tries)
        assert number == len(mails)
        _check(months, code, mails[-1])
        months.let_fail(None)
        months.portal.gateway.monthly.pay(charge.invoice_remote_id, key=code)
        months.portal.send_all()

    assert {ChargeState.RECOVERED} == {charge.state for charge in months.charges()}
    assert len(_CODES) + 1 == len(months.mails("gift-receipt")) == len(months.gifts())


def _check(months: Months, code: str, mail: OutboxMessage) -> None:
    words = render(months.portal.settings, mail.kind, mail.context)
    assert _CODES[code] == reason_of(code) == mail.context["reason"]
    for part in (words.subject, words.text, words.html):
        assert code not in part
        assert code.replace("_", " ") not in part
    assert "Nothing was charged" in words.text
    asked_again = code not in {"lost_card", "stolen_card", "authentication_required"}
    assert asked_again == (mail.context["next_try_text"] is not None)


def test_e4_a_retry_that_is_paid_ends_it(months: Months) -> None:
    """E4: one mail when it fails, no lapse, and the receipt of the retry says that it goes on."""
    months.fail()
    months.pass_days(RETRIES[0] - 1)
    assert RecurringStatus.PAST_DUE == months.gift.status
    months.let_fail(None)
    months.pass_days(2)

    assert RecurringStatus.ACTIVE == months.gift.status
    assert (ChargeState.RECOVERED, None) == (months.charge.state, months.charge.next_try_at)
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    assert ["charge-failed"] == months.kinds()
    first, second = months.mails("gift-receipt")
    assert (False, True) == (first.context["recovered"], second.context["recovered"])
    assert (
        "This time your bank paid"
        in render(months.portal.settings, second.kind, second.context).text
    )
    assert ["active", "past_due", "active"] == months.statuses()


def test_e4_the_whole_schedule_ends_in_a_lapse_with_one_way_back(months: Months) -> None:
    """E4: every retry fails; one mail at the start, one at the end, and the gift has lapsed."""
    months.fail("do_not_honor")
    tries = [months.charge.tries]
    for days in RETRIES:
        assert RecurringStatus.PAST_DUE == months.gift.status
        months.pass_days(days)
        tries.append(months.charge.tries)
    months.pass_days(40)

    assert [1, 2, 3, 4] == tries
    assert RecurringStatus.LAPSED == months.gift.status
    assert ChargeState.GIVEN_UP == months.charge.state
    assert ["charge-failed", "monthly-gift-lapsed"] == months.kinds()
    assert ["active", "past_due", "lapsed"] == months.statuses()
    assert [GiftStatus.RECEIVED] == months.gifts()


@pytest.mark.parametrize("order", ["backwards", "doubled", "shuffled"])
@pytest.mark.parametrize("end", ["recovered", "lapsed"])
def test_the_order_of_the_news_does_not_matter(months: Months, order: str, end: str) -> None:
    """D6: events backwards, doubled or in any order lead to the same state and no second mail."""
    before = len(months.portal.events())
    months.fail(told=False)
    if end == "recovered":
        months.let_fail(None)
    months.pass_days(sum(RETRIES) + 1, told=False)
    events = months.portal.events()[before:]
    sent = {
        "backwards": list(reversed(events)),
        "doubled": list(itertools.chain(events, events)),
        "shuffled": random.Random(7).sample(events, len(events)),
    }[order]
    for event in sent:
        assert 200 == months.portal.send(event).status_code
        months.portal.work()
    months.work_later()

    if end == "recovered":
        assert (RecurringStatus.ACTIVE, []) == (months.gift.status, months.kinds())
        assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    else:
        assert RecurringStatus.LAPSED == months.gift.status
        assert ChargeState.GIVEN_UP == months.charge.state
        assert ["monthly-gift-lapsed"] == months.kinds()


def test_news_that_comes_too_late_says_nothing(months: Months) -> None:
    """A failure of which we hear after the retry was paid leads to no mail."""
    months.fail(told=False)
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1)

    assert RecurringStatus.ACTIVE == months.gift.status
    assert [] == months.kinds()


def test_a_retry_paid_between_the_news_and_the_mail_means_no_mail(months: Months) -> None:
    """E4: the mail's own job reads everything again, and says nothing when the bank has paid."""
    portal = months.portal
    months.fail(told=False)
    portal.send(portal.events("invoice.payment_failed")[-1])
    waiting = sa.select(Job.id).where(Job.task == charges.TELL_TASK, Job.state == "ready")
    tasks = build_tasks(portal.settings, portal.gateway, SmtpTransport(portal.settings))
    drain(portal.engine, tasks, stop=lambda: bool(portal.scalars(waiting)))
    assert RecurringStatus.PAST_DUE == months.gift.status
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1, told=False)
    portal.work()

    assert RecurringStatus.ACTIVE == months.gift.status
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    assert [] == months.kinds()


@pytest.mark.parametrize(
    "heard", ["customer.subscription.updated", "customer.subscription.deleted"]
)
def test_a_single_event_is_enough(months: Months, heard: str) -> None:
    """When all other news is lost, the state of the subscription leads to the charge itself."""
    months.fail("generic_decline", told=False)
    if heard.endswith("deleted"):
        months.pass_days(sum(RETRIES) + 1, told=False)
    months.portal.send(months.portal.events(heard)[-1])
    months.portal.work()

    lapsed = heard.endswith("deleted")
    assert (RecurringStatus.LAPSED if lapsed else RecurringStatus.PAST_DUE) == months.gift.status
    assert (ChargeState.GIVEN_UP if lapsed else ChargeState.OPEN) == months.charge.state
    assert ["monthly-gift-lapsed" if lapsed else "charge-failed"] == months.kinds()


def test_a_gift_that_the_donor_stopped_has_not_lapsed(months: Months) -> None:
    """Stopping a gift in arrears withdraws the charge; nobody is invited back."""
    months.fail()
    months.portal.gateway.monthly.end(months.subscription["id"], reason=None, comment="")
    months.portal.send_all()
    months.pass_days(40)

    assert RecurringStatus.ENDED == months.gift.status
    assert ChargeState.WITHDRAWN == months.charge.state
    assert ["charge-failed"] == months.kinds()


def test_a_second_month_is_a_second_charge(months: Months) -> None:
    """A gift that recovered and fails again months later is written about again."""
    months.fail()
    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1)
    months.fail("expired_card")

    assert ["charge-failed", "charge-failed"] == months.kinds()
    assert [Reason.FUNDS, Reason.EXPIRED] == [
        mail.context["reason"] for mail in months.mails("charge-failed")
    ]
