"""The application with people signed in, for tests that send it what no form would."""

import pytest
from flask.testing import FlaskClient

from tests.access.doorstep import DONOR, STAFF, Doorstep
from tests.portal_in_process import Portal


@pytest.fixture
def people(portal: Portal) -> dict[str, FlaskClient]:
    """One browser each: of nobody in particular, of a donor, and of an owner."""
    doorstep = Doorstep(portal.app, portal.settings, portal.engine)
    doorstep.donor()
    doorstep.staff()
    browsers = {name: doorstep.browser() for name in ("anonymous", "donor", "owner")}
    doorstep.sign_in(browsers["donor"], DONOR)
    doorstep.sign_in_staff(browsers["owner"], STAFF)
    return browsers
