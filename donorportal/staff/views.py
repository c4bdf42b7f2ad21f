"""The back office: its door, what waits in the queues, and a button to try again."""

from typing import Any

import segno
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

import donorportal.staff.gifts.views
import donorportal.staff.partners.views
import donorportal.staff.payouts.views
import donorportal.staff.reconciliation.views
import donorportal.staff.shield.views
from donorportal.access import people, second_factor, sessions, staff_accounts
from donorportal.access.doors import Door
from donorportal.access.people import Person, Realm
from donorportal.access.permissions import Permission, may, own_path
from donorportal.access.second_factor import Verdict
from donorportal.access.sessions import whoever
from donorportal.access.staff_accounts import Invitation
from donorportal.audit.record import record
from donorportal.clock import local_date, now
from donorportal.current import settings
from donorportal.db import db, unit_of_work
from donorportal.giving.payouts import listing as payout_listing
from donorportal.giving.reconcile import running as reconciling
from donorportal.giving.recovery import figures
from donorportal.ledger import halting
from donorportal.staff import listing, rerunning, tables
from donorportal.staff.listing import Listing
from donorportal.staff.shield import telling

bp = Blueprint("staff", __name__, url_prefix="/staff")
bp.register_blueprint(donorportal.staff.gifts.views.bp)
bp.register_blueprint(donorportal.staff.partners.views.bp)
bp.register_blueprint(donorportal.staff.payouts.views.bp)
bp.register_blueprint(donorportal.staff.reconciliation.views.bp)
bp.register_blueprint(donorportal.staff.shield.views.bp)

_LARGEST_ID = 2**63 - 1
_REFUSED = {
    Verdict.WRONG: (422, "That code is not good, or was used before. Wait for the next one."),
    Verdict.TOO_MANY: (429, "Too many codes. Please wait five minutes and try again."),
}
_QUEUES = {"inbox": listing.INBOX, "jobs": listing.JOBS, "outbox": listing.OUTBOX}
# Rooms of the back office: name, the page one enters by, and who may enter.
_ROOMS = (
    ("Gifts", "staff.gifts.index", Permission.SEE_GIFTS),
    ("Monthly gifts", "staff.partners.index", Permission.MANAGE_GIFTS),
    ("Payouts", "staff.payouts.index", Permission.SEE_BOOKS),
    ("Reconciliation", "staff.reconciliation.index", Permission.SEE_BOOKS),
    ("Shield", "staff.shield.overview", Permission.SEE_QUEUES),
)


@bp.context_processor
def _navigation() -> dict[str, Any]:
    person = whoever()
    if person.staff_id is None:
        return {"nav": []}
    pages = [("Overview", "staff.overview")]
    pages += [(name, entrance) for name, entrance, needed in _ROOMS if may(person, needed)]
    if may(person, Permission.SEE_QUEUES):
        pages += [(name.capitalize(), f"staff.{name}") for name in _QUEUES]
    nav = [
        {"name": name, "url": url_for(endpoint), "current": _is_in(endpoint)}
        for name, endpoint in pages
    ]
    under_attack = telling.banner(db.session(), settings().organisation)
    return {"nav": nav, "halted": _halted(), "under_attack": under_attack}


def _is_in(entrance: str) -> bool:
    """Say whether this page is an entrance, or belongs to the room behind it."""
    room = entrance.rpartition(".")[0]
    return request.endpoint == entrance or (room != bp.name and request.blueprint == room)


def _halted() -> dict[str, Any] | None:
    """Return what every staff page says while nothing is posted."""
    halt = halting.standing(db.session())
    if halt is None:
        return None
    since = tables.when(halt.halted_at, settings().organisation)
    return {"since": since, "finding": halt.findings[0]}


def _half_way_in(person: Person) -> ResponseReturnValue:
    sessions.begin_half(person, _door.target())
    return redirect(url_for("staff.second_factor_step"), code=303)


_door = Door(realm=Realm.STAFF, blueprint="staff", enter=_half_way_in)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Ask for a code by e-mail."""
    if whoever().staff_id is not None:
        return redirect(url_for("staff.overview"), code=303)
    return _door.ask()


@bp.route("/sign-in/code", methods=["GET", "POST"])
def code() -> ResponseReturnValue:
    """Type the code from the e-mail."""
    return _door.type_code()


@bp.route("/sign-in/<token>", methods=["GET", "POST"])
def link(token: str) -> ResponseReturnValue:
    """Follow the link of the e-mail."""
    return _door.follow_link(token)


@bp.route("/second-factor", methods=["GET", "POST"])
def second_factor_step() -> ResponseReturnValue:
    """Type the code of the authenticator app; only this opens the back office."""
    half = sessions.half_way()
    if half is None:
        return redirect(url_for("staff.sign_in"), code=303)
    person, target = half
    if request.method != "POST":
        return render_template("staff/second_factor.html")
    with unit_of_work() as work:
        verdict = second_factor.check(work, settings(), person.id, request.form.get("code", ""))
        if verdict == Verdict.GOOD:
            who = f"staff:{person.id}"
            record(work, actor=who, action="sign in", subject=who)
    if verdict != Verdict.GOOD:
        status, message = _REFUSED[verdict]
        return render_template("staff/second_factor.html", error=message), status
    sessions.begin(person)
    return redirect(own_path(target) or url_for("staff.overview"), code=303)


@bp.route("/enrol/<token>", methods=["GET", "POST"])
def enrol(token: str) -> ResponseReturnValue:
    """Set up the authenticator app of somebody who was invited, and let them in."""
    invitation = staff_accounts.find_invitation(db.session(), settings(), token)
    if invitation is None:
        abort(404)
    if request.method != "POST":
        return _enrol_page(invitation)
    with unit_of_work() as work:
        verdict = staff_accounts.enrol(work, settings(), invitation, request.form.get("code", ""))
        person = people.by_id(work, Realm.STAFF, invitation.staff_id)
    if verdict != Verdict.GOOD or person is None:
        status, message = _REFUSED.get(verdict, _REFUSED[Verdict.WRONG])
        return _enrol_page(invitation, message), status
    # They hold the invitation and the app: both steps are done.
    sessions.begin(person)
    return redirect(url_for("staff.overview"), code=303)


@bp.get("/")
def overview() -> str:
    """Show how the queues stand."""
    person = whoever()
    queues = _QUEUES if may(person, Permission.SEE_QUEUES) else {}
    cards = [_summary(name, queues[name]) for name in queues]
    if may(person, Permission.SEE_BOOKS):
        cards[:0] = [_payouts_summary(), _reconciliation_summary()]
        cards.insert(0, _recovery_summary())
    return render_template("staff/overview.html", queues=cards)


def _recovery_summary() -> dict[str, Any]:
    zone = settings().organisation.time_zone
    found = figures.of_year(db.session(), local_date(now(), zone).year, zone)
    return {
        "name": "Failed charges",
        "sentence": found.sentence,
        "figures": [
            {"label": "Recovered", "text": str(found.recovered), "bad": False},
            {"label": "Given up", "text": str(found.given_up), "bad": False},
            {"label": "Withdrawn", "text": str(found.withdrawn), "bad": False},
            {"label": "Open", "text": str(found.open), "bad": False},
        ],
    }


@bp.get("/style")
def style() -> str:
    """Show every part that pages are made of."""
    return render_template("staff/style.html")


@bp.get("/inbox")
def inbox() -> str:
    """List the events that Stripe sent."""
    return _queue_page("inbox", "staff.event_runs")


@bp.get("/inbox/<int:event_id>")
def event(event_id: int) -> str:
    """Show one event as it came."""
    found = listing.event(db.session(), _known_id(event_id))
    if found is None:
        abort(404)
    organisation = settings().organisation
    times = {
        name: tables.when(found[name], organisation) for name in ("received_at", "processed_at")
    }
    again = url_for("staff.event_runs", event_id=event_id)
    return render_template(
        "staff/event.html",
        event=found | times,
        retry_url=again if may(whoever(), Permission.RUN_AGAIN) else None,
    )


@bp.post("/inbox/<int:event_id>/runs")
def event_runs(event_id: int) -> ResponseReturnValue:
    """Process an event once more."""
    with unit_of_work() as work:
        found = rerunning.process_event_again(work, _known_id(event_id), actor=_actor())
    if not found:
        abort(404)
    return redirect(url_for("staff.event", event_id=event_id), code=303)


@bp.get("/jobs")
def jobs() -> str:
    """List the work that was queued."""
    return _queue_page("jobs", "staff.job_runs")


@bp.post("/jobs/<int:job_id>/runs")
def job_runs(job_id: int) -> ResponseReturnValue:
    """Give a dead job new attempts; one that is not dead is left alone."""
    with unit_of_work() as work:
        rerunning.run_job_again(work, _known_id(job_id), actor=_actor())
    return redirect(url_for("staff.jobs"), code=303)


@bp.get("/outbox")
def outbox() -> str:
    """List the messages that were queued for sending."""
    return _queue_page("outbox", None)


def _enrol_page(invitation: Invitation, error: str | None = None) -> str:
    uri = second_factor.authenticator_uri(settings(), invitation.salt, invitation.email)
    key = second_factor.authenticator_keys(settings(), invitation.salt)[0]
    # Black on white in the dark scheme too: not every camera reads the reverse.
    svg = segno.make(uri, error="m").svg_inline(
        scale=4, dark="#000", light="#fff", svgclass=None, lineclass=None, title="QR code"
    )
    return render_template(
        "staff/enrol.html",
        qr_svg=Markup(svg),  # noqa: S704 - drawn by segno; the address in it is dots, not markup.
        key_text=" ".join(key[start : start + 4] for start in range(0, len(key), 4)),
        error=error,
    )


def _summary(name: str, queue: Listing) -> dict[str, Any]:
    counts = listing.counts(db.session(), queue)
    return {
        "name": name.capitalize(),
        "url": url_for(f"staff.{name}"),
        "figures": [
            {
                "label": state.capitalize(),
                "text": tables.count_text(counts[state]),
                "bad": state in queue.bad and counts[state] > 0,
            }
            for state in queue.states
        ],
    }


def _payouts_summary() -> dict[str, Any]:
    odd = payout_listing.needing_a_look(db.session())
    figure = {"label": "Need a look", "text": tables.count_text(odd), "bad": odd > 0}
    return {"name": "Payouts", "url": url_for("staff.payouts.index"), "figures": [figure]}


def _reconciliation_summary() -> dict[str, Any]:
    left = reconciling.count_standing(db.session())
    figure = {"label": "Differences", "text": tables.count_text(left), "bad": left > 0}
    url = url_for("staff.reconciliation.index")
    return {"name": "Reconciliation", "url": url, "figures": [figure]}


def _queue_page(name: str, retry_endpoint: str | None) -> str:
    queue, args = _QUEUES[name], request.args
    state = args.get("state") if args.get("state") in queue.states else None
    page = listing.page(
        db.session(),
        queue,
        state=state,
        older_than=_row_id(args.get("before")),
        newer_than=_row_id(args.get("after")),
    )
    table = tables.table(
        queue,
        page,
        listing.counts(db.session(), queue),
        settings().organisation,
        state=state,
        url=lambda **query: url_for(f"staff.{name}", **query),
        retry_url=_retry_url(retry_endpoint),
    )
    return render_template(f"staff/{name}.html", **table)


def _retry_url(endpoint: str | None) -> tables.Url | None:
    if endpoint is None or not may(whoever(), Permission.RUN_AGAIN):
        return None
    argument = "event_id" if endpoint == "staff.event_runs" else "job_id"
    return lambda row_id: url_for(endpoint, **{argument: row_id})


def _row_id(text: str | None) -> int | None:
    """Read an id from the address of a page; anything else shows the first page."""
    if not text or not (text.isascii() and text.isdigit()) or len(text) > len(str(_LARGEST_ID)):
        return None
    return min(int(text), _LARGEST_ID)


def _known_id(row_id: int) -> int:
    """Return *row_id* if a row can have it: a larger one would not even fit the column."""
    if row_id > _LARGEST_ID:
        abort(404)
    return row_id


def _actor() -> str:
    person = whoever()
    if not isinstance(person, sessions.SignedIn):
        abort(404)
    return person.actor
