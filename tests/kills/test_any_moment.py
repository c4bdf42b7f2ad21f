"""kill -9 at any moment of a gift."""

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.kills.books import assert_each_gave_once, come_to_rest
from tests.kills.patience import PatientDonor
from tests.live_site import LiveSite

_CRASHES = 16
_HUMAN_SECONDS = 1.1
# From sending the form to the mail takes about half a second; a donor begins every now and then,
# so that each kill meets gifts at every stage.
_LONGEST_PAUSE_SECONDS = 0.35


@pytest.mark.parametrize("frequency", ["once", "monthly"])
def test_killing_the_site_loses_and_doubles_nothing(eager: LiveSite, frequency: str) -> None:
    """However often the site and its worker die, each donor is charged, booked and thanked once."""
    donors = _open_forms(eager, monthly=frequency == "monthly")
    chance = random.Random(f"{frequency} {eager.port}")
    with ThreadPoolExecutor(len(donors)) as pool:
        thanks = []
        for donor in donors:
            thanks.append(pool.submit(donor.give))
            time.sleep(chance.uniform(0, _LONGEST_PAUSE_SECONDS))
            eager.crash()
        said = _results(thanks)
    come_to_rest(eager)

    assert all("has arrived" in page for page in said)
    assert_each_gave_once(eager, [donor.email for donor in donors], crashes=_CRASHES)


def test_killing_stripe_loses_and_doubles_nothing(eager: LiveSite) -> None:
    """However often Stripe's stand-in and the mail relay die, nothing is charged or lost twice."""
    donors = _open_forms(eager, count=5)
    chance = random.Random(eager.port)
    with ThreadPoolExecutor(len(donors)) as pool:
        thanks = []
        for donor in donors:
            thanks.append(pool.submit(donor.give))
            time.sleep(chance.uniform(0, _LONGEST_PAUSE_SECONDS))
            eager.sandbox.kill()
            eager.sandbox.start()
        said = _results(thanks)
    come_to_rest(eager)

    assert all("has arrived" in page for page in said)
    assert_each_gave_once(eager, [donor.email for donor in donors], crashes=len(donors))


def _open_forms(
    site: LiveSite, *, count: int = _CRASHES, monthly: bool = False
) -> list[PatientDonor]:
    donors = [PatientDonor(site, number, monthly=monthly) for number in range(count)]
    # Nobody fills in the form in less.
    time.sleep(_HUMAN_SECONDS)
    return donors


def _results(thanks: list[Future[str]]) -> list[str]:
    return [page.result() for page in thanks]
