"""The comparison with Stripe as words and rows on a page."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from donorportal.config import Organisation
from donorportal.giving.reconcile.kinds import ABOUT, Kind, Repair
from donorportal.giving.reconcile.models import Difference, DifferenceState, ReconcileRun
from donorportal.payments.listing import Thing

PAGE_LENGTH = 50
COLUMNS = (
    {"key": "what", "label": "What differs"},
    {"key": "object", "label": "At Stripe"},
    {"key": "expected", "label": "Stripe says"},
    {"key": "found", "label": "Our books say"},
    {"key": "state", "label": "State"},
    {"key": "note", "label": "Note"},
)
# A night and the morning after it: later, somebody should ask why nothing was compared.
_FRESH = timedelta(hours=36)
_BOOKABLE = frozenset({Thing.CHARGE, Thing.MOVEMENT})
_BY_HAND = frozenset({Kind.FOREIGN_PAYMENT, Kind.NOT_BOOKED, Kind.DISPUTE_NOT_BOOKED})


class Verdict(NamedTuple):
    """The one sentence of the page."""

    tone: str
    title: str
    text: str


def verdict(
    last: ReconcileRun | None, left: int, organisation: Organisation, now: datetime
) -> Verdict:
    """Say whether Stripe and our books agree, and as of when."""
    if last is None or last.finished_at is None:
        return Verdict("calm", "Not compared yet", "Nothing has been compared with Stripe so far.")
    when = _when(last.finished_at, organisation)
    if left:
        things = "One difference stands" if left == 1 else f"{left:,} differences stand"
        return Verdict("danger", things, f"Last compared {when}. Each is listed below.")
    title = f"Stripe and our books agree as of {when}"
    if now - last.finished_at > _FRESH:
        return Verdict("warning", title, "That is more than a day ago. Compare again.")
    return Verdict("success", title, f"{last.walked:,} objects were compared.")


def run(last: ReconcileRun, organisation: Organisation) -> list[tuple[str, str | None]]:
    """Return what the last comparison came to."""
    if last.finished_at is None:
        return []
    began = _when(last.since, organisation) if last.since else "the beginning"
    took = round((last.finished_at - last.started_at).total_seconds())
    return [
        ("Began", _when(last.started_at, organisation)),
        ("Took", f"{took // 60} min {took % 60} s" if took >= 60 else f"{took} s"),  # noqa: PLR2004
        ("Compared since", began),
        ("Objects", f"{last.walked:,}"),
        ("Found", f"{last.found:,}"),
        ("Repaired", f"{last.repaired:,}"),
    ]


def progress(now: ReconcileRun, steps: int) -> dict[str, Any]:
    """Return how far the comparison is that is under way."""
    return {
        "value": now.steps_done,
        "most": steps,
        "text": f"{now.walked:,} objects compared, now at: {now.step}",
    }


def difference(row: Difference) -> dict[str, Any]:
    """Return one difference as a row, with what can be done about it."""
    kind = Kind(row.kind)
    by_rule = ABOUT[kind].repair is not Repair.PERSON
    return {
        "id": row.id,
        "what": ABOUT[kind].sentence,
        "object": row.object_id,
        "expected": row.expected,
        "found": row.found,
        "state": "Needs a person" if row.state == DifferenceState.PERSON else "Can be repaired",
        "tone": "danger" if row.state == DifferenceState.PERSON else "warning",
        "note": row.note,
        "by_rule": by_rule,
        "bookable": kind in _BY_HAND and ABOUT[kind].thing in _BOOKABLE,
    }


def _when(instant: datetime, organisation: Organisation) -> str:
    return format_datetime(
        instant,
        "d MMM y, HH:mm",
        tzinfo=ZoneInfo(organisation.time_zone),
        locale=organisation.locale,
    )
