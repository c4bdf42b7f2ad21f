"""The room of payouts: what staff see of the bank, the lines behind it, and the journal."""

import csv
import re
from decimal import Decimal
from io import StringIO

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from donorportal.access.people import Role
from donorportal.audit.models import AuditRecord
from donorportal.db import writing_session
from donorportal.giving.payouts.models import Payout, PayoutLine
from donorportal.jobs.models import Job
from donorportal.ledger import halting
from tests.access.doorstep import Doorstep, submit
from tests.portal_in_process import Portal


@pytest.fixture
def colleague(portal: Portal) -> FlaskClient:
    """The browser of somebody from finance, after a payout of two gifts."""
    for amount in ("50", "1,000"):
        portal.give(amount=amount)
    portal.send_all()
    portal.sandbox.post("payouts")
    portal.send_all()
    return _browser(portal, Role.FINANCE)


def _browser(portal: Portal, role: Role) -> FlaskClient:
    doorstep = Doorstep(portal.app, portal.settings, portal.engine)
    browser = doorstep.browser()
    doorstep.staff(role=role)
    doorstep.sign_in_staff(browser)
    return browser


def _payout(portal: Portal) -> Payout:
    payout: Payout = portal.scalars(sa.select(Payout))[0]
    return payout


def test_the_list_says_what_arrived_and_whether_it_agrees(
    portal: Portal, colleague: FlaskClient
) -> None:
    """Date, amount, status and verdict of each payout are on one page, with a way in."""
    payout = _payout(portal)

    page = colleague.get("/staff/payouts").text

    assert payout.amount.exact() in page
    assert "Arrived" in page
    assert "Agrees" in page
    assert f'href="/staff/payouts/{payout.id}"' in page
    assert re.search(r'href="/staff/payouts"\s+aria-current="page"', page)


def test_a_payout_adds_up_to_the_deposit_on_its_page(
    portal: Portal, colleague: FlaskClient
) -> None:
    """Gross, fees and net of its gifts are there, with the sum that the bank statement shows."""
    payout = _payout(portal)

    page = colleague.get(f"/staff/payouts/{payout.id}").text

    receipts = re.findall(r"R-\d\d-\d{6}", page)
    assert 2 == len(set(receipts))
    gifts = portal.scalars(sa.select(PayoutLine.gift_id))
    assert set(map(str, gifts)) == set(re.findall(r'href="/staff/gifts/(\d+)"', page))
    for text in ("Gifts by card", "$1,050.00", "Together", payout.amount.exact(), "Agrees"):
        assert text in page
    assert "No line needs a look." in colleague.get(f"/staff/payouts/{payout.id}?show=odd").text


def test_every_line_comes_as_a_table(portal: Portal, colleague: FlaskClient) -> None:
    """The CSV has a line for each movement, and its net column adds up to the deposit."""
    payout = _payout(portal)

    answer = colleague.get(f"/staff/payouts/{payout.id}.csv")

    rows = list(csv.DictReader(StringIO(answer.text)))
    assert f'filename="payout-{payout.remote_id}.csv"' in answer.headers["Content-Disposition"]
    assert {"50.00", "1000.00"} == {row["gross"] for row in rows}
    assert payout.amount.decimal == sum(Decimal(row["net"]) for row in rows)


def test_a_line_that_needs_a_look_stands_out(portal: Portal, colleague: FlaskClient) -> None:
    """The overview counts the payout, its page leads to the line, and comparing settles it."""
    payout = _payout(portal)
    with portal.engine.begin() as connection:
        first = sa.select(sa.func.min(PayoutLine.id)).scalar_subquery()
        odd = sa.update(PayoutLine).where(PayoutLine.id == first)
        connection.execute(odd.values(concern="It is not in our books."))
        connection.execute(sa.update(Payout).values(concern="1 line needs a look."))

    assert re.search(r'Need a look</dt>\s*<dd class="number bad">1<', colleague.get("/staff/").text)
    assert "1 line needs a look." in colleague.get("/staff/payouts").text
    only = colleague.get(f"/staff/payouts/{payout.id}?show=odd").text
    assert 1 == only.count("It is not in our books.")

    path = f"/staff/payouts/{payout.id}/readings"
    for _ in range(2):
        answer = submit(colleague, path, {}, form="/sign-out")
        assert (303, f"/staff/payouts/{payout.id}") == (answer.status_code, answer.location)
    portal.work()
    assert _payout(portal).agrees
    done = sa.select(AuditRecord.subject).where(AuditRecord.action == "compare again")
    assert {f"payout:{payout.id}"} == set(portal.scalars(done))
    assert [] == portal.scalars(sa.select(Job.error).where(Job.error.is_not(None)))


def test_the_journal_of_a_period(portal: Portal, colleague: FlaskClient) -> None:
    """The form on the page leads to a file whose totals balance; a mistake keeps what was typed."""
    payout = _payout(portal)
    day = payout.created_at.date()
    query = f"from={day.replace(day=1)}&to={day.replace(year=day.year + 1)}"

    rows = list(csv.DictReader(StringIO(colleague.get(f"/staff/journal.csv?{query}").text)))
    wrong = [
        colleague.get("/staff/journal.csv?from=2026-02-01&to=2026-01-01"),
        colleague.get("/staff/journal.csv?from=yesterday&to=2026-01-01"),
    ]

    [total] = [row for row in rows if row["row"] == "total"]
    assert total["debit"] == total["credit"] != "0.00"
    bank = [row for row in rows if (row["row"], row["account"]) == ("closing", "bank")]
    assert [str(payout.amount.decimal)] == [row["debit"] for row in bank]
    assert [422, 422] == [answer.status_code for answer in wrong]
    assert "The first day must not come after the last." in wrong[0].text
    assert 'value="2026-02-01"' in wrong[0].text
    assert "Write the days like this" in wrong[1].text


@pytest.mark.parametrize("before", ["nonsense", "2026-11-22", "2026-11-22.x", "2026-13-40.1"])
def test_a_nonsense_address_shows_the_first_page(
    portal: Portal, colleague: FlaskClient, before: str
) -> None:
    """Whatever stands in the address of the list, it is answered."""
    assert "Agrees" in colleague.get(f"/staff/payouts?before={before}").text


def test_older_payouts_are_on_further_pages(portal: Portal, colleague: FlaskClient) -> None:
    """Each payout is on one page, the latest first."""
    template = _payout(portal)
    with portal.engine.begin() as connection:
        connection.execute(
            sa.insert(Payout),
            [
                {
                    "remote_id": f"po_{number}",
                    "amount_minor": 0,
                    "currency": "USD",
                    "status": "paid",
                    "automatic": False,
                    "created_at": template.created_at,
                    "arrives_on": template.arrives_on,
                    "has_lines": False,
                }
                for number in range(60)
            ],
        )

    first = colleague.get("/staff/payouts").text
    link = re.search(r'rel="next"\s+href="([^"]+)"', first)
    assert link is not None
    second = colleague.get(link[1]).text
    ids = [re.findall(r'href="/staff/payouts/(\d+)"', page) for page in (first, second)]
    assert [50, 11] == [len(page) for page in ids]
    assert 61 == len({*ids[0], *ids[1]})


def test_a_halt_is_on_every_staff_page(portal: Portal, colleague: FlaskClient) -> None:
    """The banner says since when and why; it is gone once posting goes on."""
    with writing_session(portal.engine) as session:
        halting.halt(session, ["entry 7 is off by <5> USD"])
    pages = [colleague.get(path).text for path in ("/staff/", "/staff/payouts", "/staff/jobs")]
    with writing_session(portal.engine) as session:
        halting.lift(session, by="a test")

    for page in pages:
        assert "Posting is halted" in page
        assert "entry 7 is off by &lt;5&gt; USD" in page
    assert "Posting is halted" not in colleague.get("/staff/").text
    assert "Posting is halted" not in portal.client().get("/give").text
