"""The dates of the charges to come, against a plain calendar and against real renewals."""

from calendar import monthrange
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import stripe
from hypothesis import given
from hypothesis import strategies as st

from donorportal.giving.models import Gift
from donorportal.giving.partner import charges
from donorportal.giving.partner.models import Action
from donorportal.money import Money
from donorportal.payments.monthly import CardPageRequest, Upcoming
from donorportal.payments.stripe_monthly import (
    amount_params,
    card_page_params,
    day_params,
    end_params,
    pause_params,
    preview_params,
)
from donorportal.sandbox.typecheck import check_request
from tests.partner.walking import Partner
from tests.portal_in_process import Portal

_ZONES = ("America/New_York", "Europe/London", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata")
_moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)).map(  # noqa: DTZ001 - Hypothesis wants them so
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)


@given(_moments)
def test_each_month_has_one_charge_on_its_day_or_its_last(anchor: datetime) -> None:
    """Fifty months on: one a month, on the anchor's day or the last one, at the anchor's time."""
    start = anchor
    for count in range(1, 50):
        start = charges.month_after(start, anchor)
        month = (anchor.year * 12 + anchor.month - 1 + count) % 12 + 1
        last = monthrange(start.year, start.month)[1]

        assert (month, min(anchor.day, last)) == (start.month, start.day)
        assert anchor.timetz() == start.timetz()


@given(_moments, st.integers(1, charges.LONGEST_PAUSE))
def test_a_pause_leaves_out_exactly_its_months(anchor: datetime, months: int) -> None:
    """So many charges are left out, the next one is not, and nothing is left out after it."""
    upcoming = upcoming_from(anchor)
    end = charges.pause_ends(upcoming)[months - 1]
    coming = charges.coming(charges.paused(upcoming, end.resumes_at))

    assert [True] * months + [False] * charges.SHOWN == [one.is_left_out for one in coming]
    assert end.next_charge.at == coming[months].at
    assert coming[months - 1].starts_at < end.resumes_at < coming[months].starts_at


@given(
    st.dates(date(2020, 1, 1), date(2060, 1, 1)),
    st.integers(1, charges.LAST_DAY),
    st.integers(1, 31),
    st.sampled_from(_ZONES),
)
def test_a_day_is_the_same_in_every_zone(
    next_on: date, day: int, days_before: int, zone: str
) -> None:
    """The chosen day is the day in UTC and there, in the future, for years to come."""
    today = next_on - timedelta(days=days_before)
    start = anchor = charges.moved(next_on, day, today, zone)

    assert start.astimezone(ZoneInfo(zone)).date() > today
    for _ in range(30):
        there = (start + timedelta(hours=1)).astimezone(ZoneInfo(zone))
        assert (day, day) == (start.day, there.day)
        start = charges.month_after(start, anchor)


def test_an_open_ended_pause_has_no_charges() -> None:
    """Who was paused in Stripe's dashboard without an end is promised no date."""
    upcoming = upcoming_from(datetime(2026, 1, 31, tzinfo=UTC))

    assert [] == charges.coming(replace(upcoming, is_paused=True))
    assert [] == charges.coming(None)


@pytest.mark.parametrize(
    ("begin_on", "expected"),
    [
        ("2027-01-31", ["2027-02-28", "2027-03-31", "2027-04-30"]),
        ("2028-01-30", ["2028-02-29", "2028-03-30", "2028-04-30"]),
        ("2027-02-10", ["2027-03-10", "2027-04-10", "2027-05-10"]),
    ],
    ids=["the 31st", "a leap year", "across the clocks' change"],
)
@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_the_dates_shown_are_the_dates_charged(
    portal: Portal, begin_on: str, expected: list[str]
) -> None:
    """What the page shows today is what the renewals of the next three months then do."""
    begin_at = datetime.fromisoformat(f"{begin_on}T15:00:00+00:00")
    portal.sandbox.advance(to=int(begin_at.timestamp()))
    partner = Partner(portal, portal.client())
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    upcoming = portal.gateway.monthly.upcoming(partner.gift.remote_id or "")
    shown = [one.on("America/New_York").isoformat() for one in charges.coming(upcoming)]
    portal.sandbox.advance(days=92)
    portal.send_all()
    charged = portal.scalars(sa.select(Gift.given_on).order_by(Gift.given_on))

    assert expected == shown
    assert expected == [day.isoformat() for day in charged[1:4]]


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_a_moved_day_is_charged_as_shown(partner: Partner) -> None:
    """Moved to the fifth, the next three charges come on the fifth, at the dates shown."""
    partner.change(Action.DAY)
    upcoming = partner.portal.gateway.monthly.upcoming(partner.gift.remote_id or "")
    shown = [one.on("America/New_York") for one in charges.coming(upcoming)]
    last = datetime.combine(shown[-1] + timedelta(days=2), datetime.min.time(), UTC)
    partner.portal.sandbox.advance(to=int(last.timestamp()))
    partner.portal.send_all()
    charged = partner.portal.scalars(sa.select(Gift.given_on).order_by(Gift.given_on))

    assert [5, 5, 5] == [day.day for day in shown]
    assert shown == charged[1:]


def test_every_parameter_is_one_that_the_sdk_knows() -> None:
    """What is asked of Stripe is checked against the SDK's own types."""
    moment, amount = datetime(2027, 1, 31, tzinfo=UTC), Money(4500, "USD")
    page = CardPageRequest(
        subscription_id="sub_1",
        customer_id="cus_1",
        currency="USD",
        reference="r",
        actor="donor:1",
        return_url="https://example.org/back",
        cancel_url="https://example.org/",
        locale="en",
    )
    update = stripe.params.SubscriptionUpdateParams
    asked = [
        (update, amount_params("si_1", amount)),
        (update, day_params(moment)),
        (update, pause_params(moment)),
        (update, {"pause_collection": ""}),
        (update, {"default_payment_method": "pm_1"}),
        (stripe.params.SubscriptionCancelParams, end_params("money", "a new roof")),
        (stripe.params.InvoiceCreatePreviewParams, preview_params("sub_1", "si_1", amount, moment)),
        (stripe.params.checkout.SessionCreateParams, card_page_params(page)),
    ]

    assert [[]] * len(asked) == [check_request(kind, params) for kind, params in asked]


def upcoming_from(anchor: datetime) -> Upcoming:
    """Return what a monthly gift charges whose first month began at *anchor*."""
    first = charges.month_after(anchor, anchor)
    return Upcoming(
        amount=Money(3000, "USD"),
        starts_at=first,
        following_at=charges.month_after(first, anchor),
        anchor_at=anchor,
        delay=timedelta(hours=1),
        is_paused=False,
        resumes_at=None,
        unpaid=(),
    )
