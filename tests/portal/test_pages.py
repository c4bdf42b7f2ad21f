"""The portal's pages as a signed-in donor sees them, on both databases."""

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any, TypeVar

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from donorportal.db import writing_session
from donorportal.spreadsheet import plain_cell
from tests.access.doorstep import DONOR, Doorstep
from tests.portal import records

OTHER = "umber.tagus@example.org"
Row = TypeVar("Row")
PATHS = ("/portal/", "/portal/gifts", "/portal/gifts.csv")


@pytest.fixture
def browser(doorstep: Doorstep) -> FlaskClient:
    """Return the browser of a donor who has signed in and given nothing yet."""
    write(doorstep, lambda session: records.designation(session, name="Rescue & aftercare"))
    write(doorstep, lambda session: records.donor(session, DONOR, "Indigo Loire"))
    browser = doorstep.browser()
    doorstep.sign_in(browser, DONOR)
    return browser


def write(doorstep: Doorstep, rows: Callable[[Session], Row]) -> Row:
    """Write rows in a transaction of their own."""
    with writing_session(doorstep.engine) as session:
        return rows(session)


def me(doorstep: Doorstep) -> int:
    """Return the id of the donor who signed in."""
    return doorstep.donor(DONOR)


@pytest.mark.parametrize("path", PATHS)
def test_nobody_sees_the_portal_without_signing_in(doorstep: Doorstep, path: str) -> None:
    """A visitor is sent to the sign-in page, and nothing is kept in a cache."""
    answer = doorstep.browser().get(path)

    assert answer.status_code in {302, 303}
    assert "/sign-in" in answer.headers["Location"]


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_kept_out_of_caches(browser: FlaskClient, path: str) -> None:
    """Every page of the portal forbids every cache, also for a donor without any gift."""
    answer = browser.get(path)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_cookie_is_sent_again_once_a_day(doorstep: Doorstep) -> None:
    """Pages leave the session's cookie alone, except the first of each day, which extends it."""
    write(doorstep, lambda session: records.donor(session, DONOR, "Indigo Loire"))
    browser = doorstep.browser()
    with time_machine.travel(datetime(2026, 11, 22, 12, tzinfo=UTC), tick=False) as clock:
        doorstep.sign_in(browser)
        on_the_day = ["Set-Cookie" in browser.get(path).headers for path in PATHS]
        clock.shift(timedelta(days=1))
        a_day_later = ["Set-Cookie" in browser.get(path).headers for path in PATHS]

    assert ([False] * 3, [True, False, False]) == (on_the_day, a_day_later)


def test_the_overview_answers_what_a_donor_asks(doorstep: Doorstep, browser: FlaskClient) -> None:
    """It shows the name, the monthly gift and its next date, the latest gifts, what is wrong."""
    donor = me(doorstep)
    write(doorstep, lambda s: records.gift(s, donor, date(2020, 3, 4), amount_minor=123456))
    write(doorstep, lambda s: records.monthly(s, donor, next_on=date(2027, 1, 31)))
    unpaid = write(doorstep, lambda s: records.monthly(s, donor, status="past_due"))
    write(doorstep, lambda s: records.failed_charge(s, unpaid, reason="expired_card"))

    page = browser.get("/portal/").text

    assert "Indigo Loire" in page
    assert "$1,234.56" in page
    assert "January 31, 2027" in page
    assert "Your bank did not pay your monthly gift of $30 on January 2, 2020." in page
    assert f'href="/portal/partner/{unpaid}/charge"' in page
    assert "Rescue &amp; aftercare" in page


def test_the_history_shows_refunds_kinds_and_receipts(
    doorstep: Doorstep, browser: FlaskClient
) -> None:
    """Each line says what it was, what went back, and under which number it was receipted."""
    donor = me(doorstep)
    monthly = write(doorstep, lambda s: records.monthly(s, donor))
    write(
        doorstep,
        lambda s: records.gift(
            s, donor, date(2026, 2, 3), refunded_minor=500, recurring_gift_id=monthly
        ),
    )
    write(doorstep, lambda s: records.gift(s, donor, date(2026, 2, 1), refunded_minor=5000))
    write(doorstep, lambda s: records.gift(s, donor, None, currency="JPY", amount_minor=900))

    page = browser.get("/portal/gifts").text

    for text in ("Refunded $5 of $50", "Monthly", "Once", "R-26-000001", "Feb 3, 2026"):
        assert text in page
    assert "Refunded<" in page
    assert "¥900" in page
    assert "On its way" in page


def test_c9_g2_a_donor_sees_nothing_of_anybody_else(
    doorstep: Doorstep, browser: FlaskClient
) -> None:
    """Gifts of another donor, also those that carry this donor's address, are on no page."""
    other = write(doorstep, lambda s: records.donor(s, OTHER, "Umber Tagus"))
    canary: dict[str, Any] = {"amount_minor": 777_77, "email": DONOR}
    theirs = write(doorstep, lambda s: records.gift(s, other, date(2026, 1, 1), **canary))
    write(doorstep, lambda s: records.monthly(s, other, **canary))

    places = (*PATHS, f"/portal/gifts?after=2026-01-02.{theirs + 1}", "/portal/gifts?year=2026")
    pages = [browser.get(path).text for path in places]

    assert not [page for page in pages if "777" in page or OTHER in page]


def test_paging_leads_through_the_whole_history(doorstep: Doorstep, browser: FlaskClient) -> None:
    """The links for older gifts lead to every gift, fifty on a page, and end at the oldest."""
    donor = me(doorstep)

    def many(session: Session) -> None:
        for number in range(120):
            records.gift(session, donor, date(2025, 1, 1) + timedelta(days=number))

    write(doorstep, many)

    counts, path = [], "/portal/gifts"
    while path:
        page = browser.get(path).text
        counts.append(page.count("Rescue &amp; aftercare"))
        links = [part.partition('"')[0] for part in page.split('href="')]
        path = next((link.replace("&amp;", "&") for link in links if "after=" in link), "")

    assert counts == [50, 50, 20]


def test_the_table_is_for_spreadsheets(doorstep: Doorstep, browser: FlaskClient) -> None:
    """The CSV has a byte order mark, CRLF lines, plain numbers, and the name of a file."""
    donor = me(doorstep)
    write(doorstep, lambda s: records.gift(s, donor, date(2025, 2, 3), refunded_minor=1))
    write(doorstep, lambda s: records.gift(s, donor, date(2026, 2, 3), currency="JPY"))

    answer = browser.get("/portal/gifts.csv")
    of_a_year = browser.get("/portal/gifts.csv?year=2025")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="gifts.csv"'
    assert of_a_year.headers["Content-Disposition"] == 'attachment; filename="gifts-2025.csv"'
    assert answer.data.startswith(b"\xef\xbb\xbfDate,")
    rows = list(csv.DictReader(StringIO(answer.data.decode("utf-8-sig"), newline="")))
    shown = [(row["Date"], row["Amount"], row["Refunded"], row["Currency"]) for row in rows]
    assert shown == [("2026-02-03", "5000", "0", "JPY"), ("2025-02-03", "50.00", "0.01", "USD")]
    assert of_a_year.data.count(b"\r\n") == 2


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_h4_no_cell_is_a_formula(doorstep: Doorstep, browser: FlaskClient, start: str) -> None:
    """A text that a spreadsheet would run begins with an apostrophe in the CSV."""
    assert plain_cell(f"{start}1+1") == f"'{start}1+1"
    if start == "\0":  # PostgreSQL stores no such text.
        return
    donor = me(doorstep)
    name = f"{start}HYPERLINK(A1)"
    write(doorstep, lambda s: records.designation(s, "evil", name))
    write(doorstep, lambda s: records.gift(s, donor, date(2026, 1, 1), designation_code="evil"))

    text = browser.get("/portal/gifts.csv").data.decode("utf-8-sig")

    cell = list(csv.reader(StringIO(text, newline="")))[1][2]
    assert cell == f"'{name}"


@pytest.mark.parametrize(
    "query",
    [
        "year=",
        "year=26",
        "year=99999999999",
        "year=2026%00",
        "year=-1",
        "year=%D9%A2025",
        "after=",
        "after=x",
        "after=2026-13-01.1",
        "before=2026-01-01.-1",
        "before=%FF%FE",
        "after=2026-01-01.99999999999999999999",
        "before=9999-12-31.1%27%20OR%201=1",
    ],
)
def test_k6_a_made_up_address_is_not_found(browser: FlaskClient, query: str) -> None:
    """An address that we never made is answered 404, never with an error of ours."""
    assert browser.get(f"/portal/gifts?{query}").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "year=2999&after=2999-12-31.999999999999999999",
        "before=0001-01-01.0",
        "page=7&year=2026",
        "after=2026-01-01.1&before=2026-01-01.1",
        "year=1000",
    ],
)
def test_k6_an_odd_address_shows_an_empty_page(browser: FlaskClient, query: str) -> None:
    """A place without gifts is an empty page."""
    assert browser.get(f"/portal/gifts?{query}").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_reading_pages_accept_nothing(browser: FlaskClient, path: str) -> None:
    """The portal's pages can be read and not written to."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert browser.open(path, method=method).status_code in {400, 405}
