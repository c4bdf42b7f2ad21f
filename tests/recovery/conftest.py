"""A monthly gift that has begun."""

import pytest

from tests.portal_in_process import Portal
from tests.recovery.months import Months


@pytest.fixture
def months(portal: Portal) -> Months:
    """A monthly gift of $30 that began today."""
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    return Months(portal)
