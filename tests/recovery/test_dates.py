"""The date of the next try is Stripe's to choose, and may come after the news of the failure."""

from dataclasses import replace
from typing import Any

import pytest

from donorportal.mail.render import render
from donorportal.payments.gateway import Gateway, Observation
from tests.recovery.months import Months


class _Undecided:
    """A gateway that has not chosen the next try yet, in front of the real one."""

    def __init__(self, behind: Gateway) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def observe(self, object_id: str) -> Observation | None:
        """Read everything, and leave out the date."""
        seen = self._behind.observe(object_id)
        if seen is None or seen.invoice is None:
            return seen
        return replace(seen, invoice=replace(seen.invoice, next_try_at=None))


@pytest.mark.parametrize("chosen", [True, False], ids=["chosen later", "never told"])
def test_the_mail_waits_a_little_for_the_date(months: Months, chosen: bool) -> None:
    """Nothing is said at once; a quarter of an hour later it is, with the date if there is one."""
    real = months.portal.gateway
    months.portal.gateway = _Undecided(real)  # type: ignore[assignment]
    months.fail()
    at_once = months.kinds()
    if chosen:
        months.portal.gateway = real
    months.work_later()
    months.work_later()

    (mail,) = months.mails("charge-failed")
    text = render(months.portal.settings, mail.kind, mail.context).text
    assert [] == at_once
    assert chosen == (mail.context["next_try_text"] is not None)
    assert ("We ask again over the next days" in text) is not chosen


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_without_any_retry_no_date_is_waited_for(months: Months) -> None:
    """Where Stripe is told not to try again, the mail comes at once and promises nothing."""
    months.portal.sandbox.knobs(dunning_days=[], dunning_end="past_due")
    months.fail()

    (mail,) = months.mails("charge-failed")
    text = render(months.portal.settings, mail.kind, mail.context).text
    assert "We ask again" not in text
