"""What a donor's history shows, on both databases."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import tune
from donorportal.giving import history
from donorportal.giving.history import Cursor, Summary, YearTotal
from donorportal.money import Money
from tests.portal import records


@pytest.fixture
def session(engine_url: str) -> Iterator[Session]:
    """Open a session on a database with one designation."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    with Session(engine) as session:
        records.designation(session)
        yield session
    engine.dispose()


def test_gifts_come_newest_first_with_their_receipts(session: Session) -> None:
    """A page shows received gifts, newest first, each with its receipt's number."""
    donor = records.donor(session)
    old = records.gift(session, donor, date(2025, 12, 31))
    new = records.gift(session, donor, date(2026, 1, 1))
    later_that_day = records.gift(session, donor, date(2026, 1, 1))

    page = history.gifts_of(session, donor)

    shown = [(gift.id, gift.receipt_number) for gift in page.gifts]
    assert [(later_that_day, "R-26-000002"), (new, "R-26-000001"), (old, "R-25-000001")] == shown
    assert (page.newer, page.older) == (None, None)


def test_c9_a_gift_belongs_to_nobody_else(session: Session) -> None:
    """A gift that carries a donor's address but not the donor's id is no part of the history."""
    donor = records.donor(session)
    other = records.donor(session, "umber.tagus@example.org")
    records.gift(session, other, date(2026, 1, 1), email="indigo.loire@example.org")
    records.gift(session, None, None, status="started")

    assert history.gifts_of(session, donor).gifts == []
    assert history.coming_gifts_of(session, donor) == []
    assert history.summary_of(session, donor) == Summary([], has_coming=False)
    assert list(history.every_gift(lambda: nullcontext(session), donor)) == []


def test_pages_cover_every_gift_once_in_both_directions(session: Session) -> None:
    """Going on by `older` and back by `newer` shows each gift exactly once, many on one day."""
    donor = records.donor(session)
    days = [date(2026, 1, 1) + timedelta(days=n // 4) for n in range(23)]
    ids = [records.gift(session, donor, day) for day in days]

    forward, page = [], history.gifts_of(session, donor, limit=5)
    while page.older:
        forward.append([gift.id for gift in page.gifts])
        page = history.gifts_of(session, donor, after=page.older, limit=5)
    forward.append([gift.id for gift in page.gifts])
    backward = [[gift.id for gift in page.gifts]]
    while page.newer:
        page = history.gifts_of(session, donor, before=page.newer, limit=5)
        backward.append([gift.id for gift in page.gifts])

    assert ids[::-1] == [gift for shown in forward for gift in shown]
    assert forward == backward[::-1]


def test_a_year_shows_its_own_gifts_only(session: Session) -> None:
    """The year's first and last day belong to it, and its pages stay inside it."""
    donor = records.donor(session)
    for day in (date(2024, 12, 31), date(2025, 1, 1), date(2025, 12, 31), date(2026, 1, 1)):
        records.gift(session, donor, day)

    first = history.gifts_of(session, donor, year=2025, limit=1)
    assert first.older is not None
    second = history.gifts_of(session, donor, year=2025, after=first.older, limit=1)

    days = [gift.given_on for gift in (*first.gifts, *second.gifts)]
    assert [date(2025, 12, 31), date(2025, 1, 1)] == days
    assert second.older is None


def test_totals_are_net_of_refunds_and_never_mix_currencies(session: Session) -> None:
    """Each year and currency has its own total, less refunds, in whole minor units."""
    donor = records.donor(session)
    records.gift(session, donor, date(2025, 6, 1), amount_minor=2_000_000_000)
    records.gift(session, donor, date(2026, 6, 1), refunded_minor=500)
    records.gift(session, donor, date(2026, 6, 2))
    records.gift(session, donor, date(2026, 6, 3), currency="JPY", amount_minor=900)
    records.gift(session, donor, None)
    records.gift(session, donor, None, status="failed")

    expected = [
        YearTotal(2026, "USD", 9500, 2),
        YearTotal(2026, "JPY", 900, 1),
        YearTotal(2025, "USD", 2_000_000_000, 1),
    ]
    assert Summary(expected, has_coming=True) == history.summary_of(session, donor)


def test_a_gift_on_its_way_stands_apart(session: Session) -> None:
    """A gift whose money has not arrived has no date, counts nowhere, and is listed by itself."""
    donor = records.donor(session)
    coming = records.gift(session, donor, None, currency="EUR")
    records.gift(session, donor, None, status="failed")
    records.gift(session, donor, None, status="abandoned")

    assert history.gifts_of(session, donor).gifts == []
    assert Summary([], has_coming=True) == history.summary_of(session, donor)
    shown = [(gift.id, gift.amount) for gift in history.coming_gifts_of(session, donor)]
    assert [(coming, Money(5000, "EUR"))] == shown


def test_monthly_gifts_that_stand(session: Session) -> None:
    """Active, unpaid and paused monthly gifts are shown; ended and never finished ones are not."""
    donor = records.donor(session)
    statuses = ("active", "past_due", "paused", "ended", "started", "abandoned")
    for status in statuses:
        records.monthly(session, donor, status=status)

    shown = [gift.status.value for gift in history.recurring_of(session, donor)]
    assert shown == ["paused", "past_due", "active"]


def test_every_gift_is_read_in_order_beyond_one_fetch(session: Session) -> None:
    """The whole history streams newest first, or one year of it."""
    donor = records.donor(session)
    ids = [records.gift(session, donor, date(2025, 1, 1) + timedelta(days=n)) for n in range(601)]

    assert ids[::-1] == [
        gift.id for gift in history.every_gift(lambda: nullcontext(session), donor)
    ]
    assert len(list(history.every_gift(lambda: nullcontext(session), donor, year=2025))) == 365


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-02-30.1",
        "0000-01-01.1",
        "2026-01-01.-1",
        "2026-01-01.1234567890123456789",
        "2026-01-01.1\n",
        "2026-01-01.\u0661",
        "2026-01-01.1'--",
    ],
)
def test_k6_a_cursor_is_one_of_ours_or_refused(text: str) -> None:
    """Anything that is not the place of a gift is refused before it reaches the database."""
    with pytest.raises(ValueError, match=r"."):
        Cursor.parse(text)


def test_a_cursor_survives_the_address_bar() -> None:
    """A cursor reads back as it was written."""
    place = Cursor(date(2026, 11, 22), 123_456_789_012)

    assert place == Cursor.parse(str(place))
