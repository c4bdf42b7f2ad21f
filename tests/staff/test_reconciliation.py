"""The page that says whether Stripe and our books agree, and its buttons."""

import re
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from donorportal.access.people import Role
from donorportal.audit.models import AuditRecord
from donorportal.giving.models import Gift, GiftStatus
from donorportal.giving.reconcile.models import Difference, DifferenceState
from tests.access.doorstep import Doorstep, csrf_token
from tests.portal_in_process import Portal
from tests.reconcile.differences import Maker

_PAGE = "/staff/reconciliation"


@pytest.fixture
def colleague(portal: Portal) -> FlaskClient:
    """The browser of a colleague who keeps the books."""
    doorstep = Doorstep(portal.app, portal.settings, portal.engine)
    doorstep.staff("books@example.org", Role.FINANCE)
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser, "books@example.org")
    return browser


def _press(browser: FlaskClient, path: str, **fields: str) -> int:
    token = csrf_token(browser, _PAGE)
    answer = browser.post(f"{_PAGE}/{path}", data=fields | {"csrf_token": token})
    return answer.status_code


def test_staff_compare_repair_and_read_that_everything_agrees(
    portal: Portal, colleague: FlaskClient
) -> None:
    """A lost gift shows as a row with a button; pressed and compared again, everything agrees."""
    Maker(portal).unheard(amount="50")
    assert "Not compared yet" in colleague.get(_PAGE).text
    assert 303 == _press(colleague, "runs")
    waiting = colleague.get(_PAGE)
    assert "4" == waiting.headers["Refresh"]
    assert "About to begin" in waiting.text

    portal.work()
    listed = colleague.get(_PAGE)
    page = listed.text
    assert "Refresh" not in listed.headers
    assert "3 differences stand" in page
    assert "A donor paid, and we have no gift for it." in page

    lost = re.findall(rf'action="{_PAGE}/(\d+)/repairs"', page)
    for row in lost:
        assert 303 == _press(colleague, f"{row}/repairs")
    portal.work()
    assert [GiftStatus.RECEIVED] == portal.scalars(sa.select(Gift.status))
    # A second request within a minute would be the first one's.
    with portal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE job SET key = NULL"))
    _press(colleague, "runs")
    portal.work()

    assert "Stripe and our books agree as of" in colleague.get(_PAGE).text
    acts = set(portal.scalars(sa.select(AuditRecord.action)))
    assert {"compare with stripe", "ask repair", "repair difference"} <= acts


def test_what_no_rule_can_repair_is_booked_or_explained(
    portal: Portal, colleague: FlaskClient
) -> None:
    """A foreign payment offers to be booked as no gift, or to be explained in words."""
    make = Maker(portal)
    portal.sandbox.pay(make.foreign_page("payment"))
    _press(colleague, "runs")
    portal.work()
    page = colleague.get(_PAGE).text
    assert "Book as no gift" in page
    rows = portal.scalars(sa.select(Difference.id).order_by(Difference.id))

    assert 422 == _press(colleague, f"{rows[0]}/explanations", note=" ")
    assert 303 == _press(colleague, f"{rows[0]}/explanations", note="A bake sale")
    assert 404 == _press(colleague, "999/explanations", note="x")

    states = portal.scalars(sa.select(Difference.state).order_by(Difference.id))
    assert [DifferenceState.EXPLAINED, DifferenceState.PERSON] == states


def test_switched_off_nothing_is_repaired(portal: Portal, colleague: FlaskClient) -> None:
    """RECONCILE=off: the page says so, and shows no button that repairs."""
    make = Maker(portal)
    make.unheard(amount="50")
    _press(colleague, "runs")
    portal.work()
    off = replace(portal.settings, reconcile="off")
    portal.app.extensions["settings"] = off

    page = colleague.get(_PAGE).text

    assert "switched off by the setting RECONCILE" in page
    assert "/repairs" not in page
    assert 409 == _press(colleague, "1/repairs")
