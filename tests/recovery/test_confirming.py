"""A bank that wants the donor to confirm: the mail leads to Stripe's page of the invoice."""

import re
from urllib.request import Request, urlopen

import pytest

from donorportal.giving.models import GiftStatus, RecurringStatus
from donorportal.giving.recovery.models import ChargeState
from tests.recovery.months import Months


def _press(url: str, answer: str) -> str:
    request = Request(url, data=f"answer={answer}".encode(), method="POST")
    with urlopen(request, timeout=20) as page:
        return str(page.read().decode())


def test_confirming_on_stripes_page_recovers_the_gift(months: Months) -> None:
    """The link of the mail, one press, and the month is a gift."""
    months.fail("authentication_required")
    (mail,) = months.mails("charge-failed")
    url = mail.context["confirm_url"]
    page = months.browser().get(f"/portal/partner/{months.gift.id}/charge").text
    paid = _press(url, "complete")
    months.portal.send_all()

    assert re.fullmatch(r"http://[^/]+/i/in_\w+", url)
    assert f'href="{url}"' in page
    assert "$30.00 is paid" in paid
    assert (RecurringStatus.ACTIVE, ChargeState.RECOVERED) == (
        months.gift.status,
        months.charge.state,
    )
    assert [GiftStatus.RECEIVED] * 2 == months.gifts()
    assert ["charge-failed"] == months.kinds()


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_the_card_alone_cannot_confirm(months: Months) -> None:
    """Stripe does not ask the bank again by itself, and the mail promises no such thing."""
    months.fail("authentication_required")
    months.pass_days(4)

    (mail,) = months.mails("charge-failed")
    assert (None, False) == (mail.context["next_try_text"], mail.context["is_tried_again"])
    assert RecurringStatus.PAST_DUE == months.gift.status
    assert ["charge-failed"] == months.kinds()
