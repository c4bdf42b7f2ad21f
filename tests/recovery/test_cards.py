"""Cards: kept current, warned about before they fail, and never the cause of a false alarm."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.db import writing_session
from donorportal.giving.models import GiftStatus, RecurringGift, RecurringStatus
from donorportal.giving.recovery import watching
from donorportal.giving.recovery.models import ChargeState
from donorportal.jobs.queueing import enqueue
from donorportal.mail.render import render
from tests.recovery.months import RETRIES, Months


def _month(ahead: int) -> date:
    day = clock.now().date().replace(day=1)
    for _ in range(ahead):
        day = (day + timedelta(days=32)).replace(day=1)
    return day


def _renew_card(months: Months, expiry: date, last4: str = "4242", *, told: bool = True) -> None:
    card = months.subscription["default_payment_method"]
    month = {"year": expiry.year, "month": expiry.month, "last4": last4}
    months.portal.sandbox.post("card-renewals", payment_method=card, **month)
    if told:
        months.portal.send_all()


def _day_passes(months: Months) -> None:
    with writing_session(months.portal.engine) as session:
        enqueue(session, watching.FIND_EXPIRING_TASK)
    months.portal.work()


def _believed(months: Months, expiry: date, last4: str = "4242") -> None:
    """Let our rows say something that Stripe does not say any more."""
    with months.portal.engine.begin() as connection:
        connection.execute(
            sa.update(RecurringGift).values(
                card_exp_year=expiry.year, card_exp_month=expiry.month, card_last4=last4
            )
        )


def test_the_card_of_a_monthly_gift_is_known_with_its_expiry(months: Months) -> None:
    """Which card is charged, and through when it is good, comes with the subscription."""
    gift = months.gift

    assert ("visa", "4242", 2034, 12) == (
        gift.card_brand,
        gift.card_last4,
        gift.card_exp_year,
        gift.card_exp_month,
    )
    assert months.subscription["default_payment_method"] == gift.card_remote_id


def test_e5_a_card_that_the_bank_renews_is_followed(months: Months) -> None:
    """E5: a new number and expiry are taken over, the gift goes on, and nobody is alarmed."""
    _renew_card(months, date(2041, 5, 1), "1881")
    months.renew()

    gift = months.gift
    assert ("1881", 2041, 5) == (gift.card_last4, gift.card_exp_year, gift.card_exp_month)
    assert RecurringStatus.ACTIVE == gift.status
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    assert [] == months.kinds()


@pytest.mark.parametrize("heard", [True, False], ids=["we heard of it", "news was lost"])
def test_e5_a_card_replaced_after_the_failure_means_no_mail(months: Months, heard: bool) -> None:
    """E5, pain 14: the failure is known, but the bank has sent Stripe another card since."""
    months.fail("expired_card", told=False)
    _renew_card(months, date(2041, 5, 1), told=heard)
    months.portal.send_all()
    assert (RecurringStatus.PAST_DUE, ChargeState.OPEN) == (
        months.gift.status,
        months.charge.state,
    )
    assert [] == months.kinds()

    months.let_fail(None)
    months.pass_days(RETRIES[0] + 1)
    assert RecurringStatus.ACTIVE == months.gift.status
    assert [] == months.kinds()


def test_a_replaced_card_that_fails_too_is_written_about(months: Months) -> None:
    """When the bank refuses the new card as well, the donor hears of it, once."""
    months.fail("expired_card", told=False)
    _renew_card(months, date(2041, 5, 1))
    months.pass_days(RETRIES[0] + 1)
    months.pass_days(RETRIES[1])

    assert ["charge-failed"] == months.kinds()


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_card_about_to_expire_is_mentioned_once(months: Months, ahead: int) -> None:
    """In its last month and the one before, whatever the number of days that pass."""
    expiry = _month(ahead)
    _renew_card(months, expiry)
    for _ in range(3):
        _day_passes(months)
        months.portal.sandbox.advance(days=1)

    (mail,) = months.mails("card-expiring")
    words = render(months.portal.settings, mail.kind, mail.context)
    assert ["card-expiring"] == months.kinds()
    assert "Visa ending in 4242" in words.text
    assert f"{expiry:%B}" in words.subject
    assert f"/portal/partner/{months.gift.id}/card" in words.text


@pytest.mark.parametrize("ahead", [2, 30])
def test_a_card_with_time_left_is_not_mentioned(months: Months, ahead: int) -> None:
    """Nobody is bothered months before."""
    _renew_card(months, _month(ahead))
    _day_passes(months)

    assert [] == months.kinds()


def test_a_card_renewed_unheard_is_not_mentioned(months: Months) -> None:
    """The card is read again right before: when Stripe has a newer one, nothing is said."""
    _renew_card(months, date(2041, 5, 1), "1881", told=False)
    _believed(months, _month(1))
    _day_passes(months)

    gift = months.gift
    assert [] == months.kinds()
    assert ("1881", 2041, 5) == (gift.card_last4, gift.card_exp_year, gift.card_exp_month)


def test_a_gift_that_has_ended_is_not_warned(months: Months) -> None:
    """A card that nothing is charged to may expire in peace."""
    _renew_card(months, _month(1))
    months.portal.gateway.monthly.end(months.subscription["id"], reason=None, comment="")
    _day_passes(months)

    assert [] == months.kinds()


def test_the_next_card_gets_a_warning_of_its_own(months: Months) -> None:
    """Once per card and expiry: another expiry is another warning."""
    _renew_card(months, _month(0))
    _day_passes(months)
    _renew_card(months, _month(1))
    with months.portal.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM job WHERE task = 'recovery.warn_of_expiry'"))
    _day_passes(months)

    assert ["card-expiring", "card-expiring"] == months.kinds()
