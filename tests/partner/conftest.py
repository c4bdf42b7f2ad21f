"""A donor with a monthly gift that began today."""

import pytest

from tests.partner.walking import Partner, signed_in
from tests.portal_in_process import Portal


@pytest.fixture
def partner(portal: Portal) -> Partner:
    """The donor, signed in; webhooks come only when a test sends them."""
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    found = Partner(portal, portal.client())
    found.client = signed_in(portal, found.gift.donor_id)
    return found
