"""The shield's page: counts by hour, how it stands, and the switch."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from donorportal.access.permissions import Permission, may
from donorportal.access.sessions import SignedIn, whoever
from donorportal.audit.record import record
from donorportal.current import settings
from donorportal.db import db, unit_of_work
from donorportal.giving.shield import alarm, holds
from donorportal.giving.shield.alarm import Switch
from donorportal.staff.shield import telling

bp = Blueprint("shield", __name__, url_prefix="/shield")


@bp.get("")
def overview() -> str:
    """Show what was tried and refused, and how the shield stands."""
    return _page()


@bp.post("/switches")
def switches() -> ResponseReturnValue:
    """Have the form ask for proof of work for some hours, or not ask, or decide by itself."""
    hours = request.form.get("hours", type=int) or 0
    try:
        to = Switch(request.form.get("to", ""))
        with unit_of_work() as session:
            alarm.switch(session, to, hours, actor=_actor())
    except ValueError:
        return _page(f"Please choose from 1 to {alarm.LONGEST_HOURS} hours."), 422
    return redirect(url_for("staff.shield.overview"), code=303)


@bp.post("/releases")
def releases() -> ResponseReturnValue:
    """Let everybody try again who is blocked because of declined cards."""
    with unit_of_work() as session:
        number = holds.release_everybody(session)
        record(
            session,
            actor=_actor(),
            action="shield release",
            subject="shield",
            detail={"blocks": number},
        )
    return redirect(url_for("staff.shield.overview"), code=303)


def _page(error: str | None = None) -> str:
    session, organisation = db.session(), settings().organisation
    return render_template(
        "staff/shield.html",
        state=telling.state(session, organisation),
        columns=telling.columns(),
        hours=telling.hours(session, organisation),
        reasons=telling.reasons(session),
        blocked=holds.blocked(session),
        longest=alarm.LONGEST_HOURS,
        may_switch=may(whoever(), Permission.SWITCH_SHIELD),
        error=error,
    )


def _actor() -> str:
    person = whoever()
    if not isinstance(person, SignedIn):
        abort(404)
    return person.actor
