"""A donor on a telephone, with and without a script."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize

from tests.browsing import WatchedPage, watch
from tests.journeys.walking import Walk
from tests.live_site import LiveSite

_PHONE: ViewportSize = {"width": 390, "height": 844}
_PATIENCE_MILLISECONDS = 10_000


@pytest.fixture
def walk(site: LiveSite, browser: Browser) -> Iterator[Walk]:
    """A donor whose telephone must not complain about any page, our policy included."""
    context = browser.new_context(viewport=_PHONE, has_touch=True, reduced_motion="reduce")
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    page = watch(context.new_page())
    yield Walk(page, site)
    context.close()
    assert _complaints(page) == []


@pytest.fixture
def scriptless(site: LiveSite, browser: Browser) -> Iterator[Walk]:
    """A donor whose browser runs no script."""
    context = browser.new_context(viewport=_PHONE, java_script_enabled=False)
    context.set_default_timeout(_PATIENCE_MILLISECONDS)
    page = watch(context.new_page())
    yield Walk(page, site)
    context.close()
    assert _complaints(page) == []


def _complaints(page: WatchedPage) -> list[str]:
    """Return what the console says, but for pages that answer 4xx or 503 on purpose."""
    expected = "Failed to load resource: the server responded with a status of"
    return [line for line in page.bad if not line.startswith(expected)]
