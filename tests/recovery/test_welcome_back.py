"""The link back: it fills in the form, and is good for nothing else."""

import time

import pytest
from itsdangerous import TimestampSigner

from donorportal.giving.models import RecurringStatus
from donorportal.mail.render import render
from tests.recovery.months import RETRIES, Months

_YEAR = 365 * 24 * 3600


@pytest.fixture
def lapsed(months: Months) -> Months:
    """A monthly gift that lapsed."""
    months.fail()
    months.pass_days(sum(RETRIES) + 1)
    assert RecurringStatus.LAPSED == months.gift.status
    return months


def _link(months: Months) -> str:
    (mail,) = months.mails("monthly-gift-lapsed")
    url = mail.context["welcome_back_url"]
    assert url in render(months.portal.settings, mail.kind, mail.context).text
    return str(url.removeprefix(months.portal.settings.public_url))


def test_the_link_fills_in_the_form_and_signs_nobody_in(lapsed: Months) -> None:
    """Amount, purpose and rhythm are there; name, address and the portal stay closed."""
    browser = lapsed.portal.client()
    answer = browser.get(_link(lapsed))
    form = browser.get(answer.location).text

    assert 303 == answer.status_code
    assert (
        "/give?frequency=monthly&amount=30.00&currency=USD&designation=where-needed-most"
        == answer.location
    )
    assert "Give $30 every month" in form
    assert "donor@example.org" not in form
    assert "Sam" not in form
    assert 303 == browser.get("/portal/").status_code


def test_the_link_works_as_often_as_it_is_opened(lapsed: Months) -> None:
    """A program that looks at links before the donor does uses nothing up."""
    answers = [lapsed.portal.client().get(_link(lapsed)).status_code for _ in range(3)]

    assert [303] * 3 == answers


def test_once_back_the_link_says_so(lapsed: Months) -> None:
    """Who gives every month again is not asked to begin a second gift."""
    lapsed.portal.give(frequency="monthly", amount="20")
    lapsed.portal.send_all()
    answer = lapsed.portal.client().get(_link(lapsed))

    assert 200 == answer.status_code
    assert "You give every month again" in answer.text


def test_who_came_back_before_the_mail_gets_none(months: Months) -> None:
    """A donor with another monthly gift is not told about the end of the old one."""
    months.fail("generic_decline")
    months.pass_days(sum(RETRIES) + 1, told=False)
    months.portal.give(frequency="monthly", amount="20", again="1", instead="")
    deleted = months.portal.events("customer.subscription.deleted")
    others = [event for event in months.portal.events() if event not in deleted]
    for event in (*others, *deleted):
        months.portal.send(event)
    months.portal.work()

    assert "monthly-gift-lapsed" not in months.kinds()


@pytest.mark.parametrize("what", ["forged", "truncated", "foreign", "nonsense"])
def test_a_link_that_we_did_not_make_is_not_found(lapsed: Months, what: str) -> None:
    """Nothing that was altered, cut off or made up tells what anybody gave."""
    token = _link(lapsed).rpartition("/")[2]
    other = TimestampSigner("x" * 40, salt="welcome back").sign(lapsed.gift.public_id.hex).decode()
    made_up = {
        "forged": token.replace(token[0], "f" if token[0] != "f" else "0", 1),
        "truncated": token[:-3],
        "foreign": other,
        "nonsense": "abc",
    }[what]
    answer = lapsed.portal.client().get(f"/welcome-back/{made_up}")

    assert 404 == answer.status_code
    assert "30" not in answer.text.partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize(("seconds", "status"), [(_YEAR - 60, 303), (_YEAR + 60, 410)])
def test_the_link_is_good_for_a_year(lapsed: Months, seconds: int, status: int) -> None:
    """After a year the page says so and offers the empty form."""
    signer = TimestampSigner(lapsed.portal.settings.secret_key, salt="welcome back")
    signer.get_timestamp = lambda: int(time.time()) - seconds  # type: ignore[method-assign]
    token = signer.sign(lapsed.gift.public_id.hex).decode()

    assert status == lapsed.portal.client().get(f"/welcome-back/{token}").status_code
