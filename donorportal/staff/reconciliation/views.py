"""Whether Stripe and our books agree, what differs, and the buttons that repair it."""

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.access.permissions import Permission, may
from donorportal.access.sessions import SignedIn, whoever
from donorportal.current import settings, wake
from donorportal.db import db, unit_of_work
from donorportal.giving.reconcile import asking, running
from donorportal.giving.reconcile.walking import STEPS
from donorportal.staff.reconciliation import showing

bp = Blueprint("reconciliation", __name__)

_LARGEST_ID = 2**63 - 1
_LONGEST_NOTE = 300
_REFRESHED_SECONDS = 4


@bp.get("/reconciliation")
def index() -> Response:
    """Say whether Stripe and our books agree, or what differs; follow what is under way."""
    page = make_response(_page())
    if running.run_under_way(db.session()) or asking.is_waiting(db.session()):
        # Browsers know this header, so that the page follows without a script.
        page.headers["Refresh"] = str(_REFRESHED_SECONDS)
    return page


@bp.post("/reconciliation/runs")
def runs() -> ResponseReturnValue:
    """Compare now."""
    with unit_of_work() as work:
        asking.ask_run(work, actor=_actor())
    wake()
    return redirect(url_for("staff.reconciliation.index"), code=303)


@bp.post("/reconciliation/<int:difference_id>/repairs")
def repairs(difference_id: int) -> ResponseReturnValue:
    """Repair one difference, or book its money as no gift."""
    if settings().reconcile == "off":
        return _page(error="Repairs are switched off by the setting RECONCILE."), 409
    with unit_of_work() as work:
        asking.ask_repair(
            work,
            _known(work, difference_id),
            actor=_actor(),
            other=request.form.get("how") == "other",
        )
    wake()
    return redirect(url_for("staff.reconciliation.index"), code=303)


@bp.post("/reconciliation/<int:difference_id>/explanations")
def explanations(difference_id: int) -> ResponseReturnValue:
    """Say why a difference may stay as it is."""
    words = request.form.get("note", "").strip()[:_LONGEST_NOTE]
    if not words:
        return _page(error="Please say why it may stay as it is."), 422
    with unit_of_work() as work:
        asking.explain(work, _known(work, difference_id), actor=_actor(), words=words)
    return redirect(url_for("staff.reconciliation.index"), code=303)


def _page(error: str | None = None) -> str:
    session, organisation = db.session(), settings().organisation
    after = _after()
    rows = running.standing(session, after=after, at_most=showing.PAGE_LENGTH + 1)
    shown = rows[: showing.PAGE_LENGTH]
    last = running.last_run(session)
    now = running.run_under_way(session)
    allowed = may(whoever(), Permission.REPAIR)
    more = len(rows) > showing.PAGE_LENGTH
    return render_template(
        "staff/reconciliation/index.html",
        verdict=showing.verdict(last, running.count_standing(session), organisation, clock.now()),
        last=showing.run(last, organisation) if last else None,
        under_way=showing.progress(now, len(STEPS)) if now else None,
        waiting=asking.is_waiting(session),
        rows=[showing.difference(row) for row in shown],
        columns=showing.COLUMNS,
        next_url=url_for("staff.reconciliation.index", after=shown[-1].id) if more else None,
        first_url=url_for("staff.reconciliation.index") if after else None,
        may_repair=allowed and settings().reconcile != "off",
        may_run=allowed,
        is_off=settings().reconcile == "off",
        error=error,
    )


def _known(session: Session, difference_id: int) -> int:
    """Return the id of a difference that exists."""
    if difference_id > _LARGEST_ID or not asking.exists(session, difference_id):
        abort(404)
    return difference_id


def _actor() -> str:
    person = whoever()
    if not isinstance(person, SignedIn):
        abort(404)
    return person.actor


def _after() -> int:
    text = request.args.get("after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < len("9" * 19) else 0
