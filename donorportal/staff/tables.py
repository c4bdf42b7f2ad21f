"""Rows of the database as rows on a page."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from donorportal.config import Organisation
from donorportal.staff.listing import MOST_COUNTED, Listing, Page

_GOOD = frozenset({"done", "sent", "processed"})
_NUMERIC = frozenset({"id", "attempts"})
_LABELS = {
    "id": "No.",
    "received_at": "Received",
    "created_at": "Queued",
    "run_at": "Due",
    "sent_at": "Sent",
    "type": "Type",
    "object_id": "Object",
    "event_id": "Event",
    "task": "Task",
    "queue": "Queue",
    "kind": "Kind",
    "address": "To",
    "attempts": "Tries",
    "state": "State",
    "note": "Note",
    "error": "Last error",
    "reply": "Relay's answer",
}
_LONGEST_CELL = 120

Url = Callable[..., str]
"""Returns the address of the same page with other arguments; None leaves one out."""


def table(
    listing: Listing,
    page: Page,
    counts: dict[str, int],
    organisation: Organisation,
    *,
    state: str | None,
    url: Url,
    retry_url: Callable[[int], str] | None,
) -> dict[str, Any]:
    """Return what the template of a queue shows.

    *retry_url* gives the address that runs a row again, None for who may not.
    """
    rows = [_row(dict(row), listing, organisation) for row in page.rows]
    for row in rows:
        row["retry_url"] = retry_url(row["id"]) if retry_url and row["waits"] else None
    return {
        "columns": [
            {"key": name, "label": _LABELS[name], "numeric": name in _NUMERIC}
            for name in listing.shown
        ],
        "rows": rows,
        "states": [
            {"name": "All", "url": url(), "current": state is None},
            *(
                {
                    "name": name.capitalize(),
                    "count": count_text(counts[name]),
                    "url": url(state=name),
                    "current": state == name,
                }
                for name in listing.states
            ),
        ],
        "previous_url": url(state=state, after=page.newer_than) if page.newer_than else None,
        "next_url": url(state=state, before=page.older_than) if page.older_than else None,
    }


def count_text(count: int) -> str:
    """Return a count for a page, for example ``12`` or ``1,000+``."""
    return f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"


def when(instant: datetime | None, organisation: Organisation) -> str | None:
    """Return an instant as the organisation's clocks show it."""
    if instant is None:
        return None
    # With seconds: staff compare these times with those in Stripe's dashboard and in logs.
    return format_datetime(
        instant,
        "d\u00a0MMM\u00a0y, HH:mm:ss",
        tzinfo=ZoneInfo(organisation.time_zone),
        locale=organisation.locale,
    )


def _row(row: dict[str, Any], listing: Listing, organisation: Organisation) -> dict[str, Any]:
    shown = {name: _cell(value, organisation) for name, value in row.items()}
    bad, good = row["state"] in listing.bad, row["state"] in _GOOD
    shown["waits"] = bad
    shown["tone"] = "danger" if bad else "success" if good else "quiet"
    return shown


def _cell(value: object, organisation: Organisation) -> object:
    if isinstance(value, datetime):
        return when(value, organisation)
    if isinstance(value, str) and len(value) > _LONGEST_CELL:
        return value[:_LONGEST_CELL] + "…"
    return value
