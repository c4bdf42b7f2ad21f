"""Pages of payouts, and the journal."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from donorportal import clock
from donorportal.access.permissions import Permission, may
from donorportal.access.sessions import SignedIn, whoever
from donorportal.audit.record import record
from donorportal.current import settings, wake
from donorportal.db import db, snapshot, unit_of_work
from donorportal.giving.payouts import following, listing
from donorportal.giving.payouts.models import Payout
from donorportal.ledger import journal
from donorportal.ledger.journal import Period, PeriodRefused
from donorportal.spreadsheet import pieces
from donorportal.staff.payouts import showing

bp = Blueprint("payouts", __name__)

_LARGEST_ID = 2**63 - 1
_COLUMNS = (
    ("id", "Payout"),
    ("arrives", "At the bank"),
    ("amount", "Amount"),
    ("status", "Status"),
    ("state", "Our books"),
    ("concern", "Why"),
)
_NUMBERS = frozenset({"count", "gross", "fee", "net", "amount"})
_PART_COLUMNS = (("what", "What"), ("count", "Lines"), ("gross", "Gross"), ("fee", "Fees"))
_LINE_COLUMNS = (
    ("moved", "Date"),
    ("what", "What"),
    ("source", "At Stripe"),
    ("receipt", "Receipt"),
    ("gross", "Gross"),
    ("fee", "Fee"),
    ("net", "Net"),
    ("concern", "Needs a look"),
)


@bp.get("/payouts")
def index() -> str:
    """List what was sent to the bank."""
    return _list()


@bp.get("/payouts/<int:payout_id>")
def show(payout_id: int) -> str:
    """Show what a payout is made of."""
    payout = _known(payout_id)
    organisation = settings().organisation
    odd = request.args.get("show") == "odd"
    found, more = listing.lines(db.session(), payout, after=_after(), odd=odd)
    parts = listing.parts(db.session(), payout)
    part_rows = [showing.part(part, organisation) for part in parts]
    again = payout.has_lines and may(whoever(), Permission.RUN_AGAIN)
    return render_template(
        "staff/payouts/payout.html",
        payout=payout,
        shown=showing.row(payout, organisation),
        part_columns=_columns((*_PART_COLUMNS, ("net", "Net"))),
        parts=[*part_rows, showing.total(parts, payout, organisation)] if parts else [],
        line_columns=_columns(_LINE_COLUMNS),
        lines=[showing.line(line, payout, organisation) for line in found],
        next_url=_page_url(payout_id, odd, found[-1].id) if more else None,
        line_tabs=[
            {"name": "Every line", "url": _page_url(payout_id), "current": not odd},
            {"name": "Needs a look", "url": _page_url(payout_id, odd=True), "current": odd},
        ],
        csv_url=url_for("staff.payouts.spreadsheet", payout_id=payout_id),
        again_url=url_for("staff.payouts.readings", payout_id=payout_id) if again else None,
    )


@bp.get("/payouts/<int:payout_id>.csv")
def spreadsheet(payout_id: int) -> Response:
    """Send every line of a payout as a table."""
    payout = _known(payout_id)
    name, code, organisation = payout.remote_id, payout.currency, settings().organisation
    moment = snapshot(db.engine)

    def table() -> Iterator[str]:
        with moment as connection:
            yield from pieces(showing.spreadsheet(connection, payout_id, code, organisation))

    return _file(table(), f"payout-{name}.csv")


@bp.post("/payouts/<int:payout_id>/readings")
def readings(payout_id: int) -> ResponseReturnValue:
    """Compare a payout with our books once more."""
    _known(payout_id)
    person = whoever()
    if not isinstance(person, SignedIn):
        abort(404)
    with unit_of_work() as work:
        if following.read_again(work, payout_id):
            subject = f"payout:{payout_id}"
            record(work, actor=person.actor, action="compare again", subject=subject)
    wake()
    return redirect(url_for("staff.payouts.show", payout_id=payout_id), code=303)


@bp.get("/journal.csv")
def journal_csv() -> ResponseReturnValue:
    """Send the journal of a period, by default of last month."""
    try:
        period = _period()
    except PeriodRefused as refused:
        return _list(error=str(refused)), 422
    account = request.args.get("account") or None
    moment = snapshot(db.engine)
    return _file(_journal(moment, period, account), f"journal-{period.first}-{period.last}.csv")


def _journal(
    moment: AbstractContextManager[sa.Connection], period: Period, account: str | None
) -> Iterator[str]:
    with moment as connection:
        yield from pieces(journal.rows(connection, period, account=account))


def _list(error: str | None = None) -> str:
    organisation = settings().organisation
    before = listing.Place.parse(request.args.get("before", ""))
    found, more = listing.payouts(db.session(), before=before)
    last = found[-1] if more else None
    place = listing.Place(last.arrives_on, last.id) if last else None
    first_day, last_day = _last_month()
    return render_template(
        "staff/payouts/index.html",
        columns=_columns(_COLUMNS),
        rows=[showing.row(payout, organisation) for payout in found],
        first_url=url_for("staff.payouts.index") if before else None,
        next_url=url_for("staff.payouts.index", before=str(place)) if place else None,
        first=request.args.get("from") or first_day.isoformat(),
        last=request.args.get("to") or last_day.isoformat(),
        account=request.args.get("account", ""),
        journal_url=url_for("staff.payouts.journal_csv"),
        error=error,
    )


def _period() -> Period:
    first, last = _last_month()
    try:
        first = date.fromisoformat(request.args.get("from") or first.isoformat())
        last = date.fromisoformat(request.args.get("to") or last.isoformat())
    except ValueError:
        raise PeriodRefused("Write the days like this: 2026-11-22.") from None
    return Period(first, last)


def _last_month() -> tuple[date, date]:
    today = clock.local_date(clock.now(), settings().organisation.time_zone)
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _known(payout_id: int) -> Payout:
    payout = db.session().get(Payout, payout_id) if payout_id <= _LARGEST_ID else None
    if payout is None:
        abort(404)
    return payout


def _after() -> int:
    text = request.args.get("after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("9" * 19) else 0


def _page_url(payout_id: int, odd: bool = False, after: int | None = None) -> str:
    what = "odd" if odd else None
    return url_for("staff.payouts.show", payout_id=payout_id, show=what, after=after)


def _columns(names: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"key": key, "label": label, "numeric": key in _NUMBERS} for key, label in names]


def _file(content: Iterator[str], name: str) -> Response:
    answer = Response(content, mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
