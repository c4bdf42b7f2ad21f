"""A site whose Stripe tries again at once, so that no test waits for its patience."""

import pytest

from tests.live_site import LiveSite

_HALF_A_SECOND_FOR_A_MINUTE = [0.5] * 120


@pytest.fixture
def eager(site: LiveSite) -> LiveSite:
    """The live site; events that could not be delivered come again every half second."""
    site.sandbox.knobs(webhook_retry_seconds=_HALF_A_SECOND_FOR_A_MINUTE)
    return site
