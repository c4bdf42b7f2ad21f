"""What the tests of reconciliation share."""

import pytest

from tests.portal_in_process import Portal
from tests.reconcile.differences import Maker


@pytest.fixture
def make(portal: Portal) -> Maker:
    """A portal at which things go wrong."""
    return Maker(portal)
