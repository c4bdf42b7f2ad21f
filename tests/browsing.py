"""A page of a browser that remembers what went wrong on it."""

from typing import cast

from playwright.sync_api import ConsoleMessage, Page


class WatchedPage(Page):
    """A page with `bad`: its console errors and warnings and its uncaught exceptions, in order."""

    bad: list[str]


def watch(page: Page) -> WatchedPage:
    """Collect in `page.bad` what goes wrong from now on, a violated CSP included."""
    bad: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            bad.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: bad.append(str(error)))
    watched = cast("WatchedPage", page)
    watched.bad = bad
    return watched
