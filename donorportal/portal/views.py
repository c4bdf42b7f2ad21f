"""A donor's own pages: the overview and the giving history."""

import re
from functools import partial

import sqlalchemy as sa
from flask import Blueprint, Response, abort, render_template, request, url_for
from flask_login import current_user

from donorportal.clock import local_date, now
from donorportal.current import settings
from donorportal.db import db, reading_session
from donorportal.donors.models import Donor
from donorportal.giving import history
from donorportal.giving.history import Cursor
from donorportal.giving.recovery import standing
from donorportal.portal import presenting, spreadsheet
from donorportal.portal.partner.views import bp as partner
from donorportal.portal.recovery.presenting import charge_card
from donorportal.portal.recovery.views import bp as recovery

bp = Blueprint("portal", __name__, url_prefix="/portal")
bp.register_blueprint(partner)
bp.register_blueprint(recovery)

_PAGES = (
    ("portal.overview", "Overview"),
    ("portal.gifts", "Gifts"),
    ("portal.partner.show", "Monthly gift"),
)
_RECENT = 5


@bp.after_request
def keep_out_of_caches(response: Response) -> Response:
    """Leave nothing of a donor's pages on a shared computer or a proxy."""
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.context_processor
def navigation() -> dict[str, object]:
    """Give every page of the portal its links."""
    return {
        "nav": [
            {"name": name, "url": url_for(endpoint), "current": _is_in(endpoint)}
            for endpoint, name in _PAGES
        ]
    }


def _is_in(entrance: str) -> bool:
    """Say whether this page is an entrance, or belongs to the room behind it."""
    room = entrance.rpartition(".")[0]
    return request.endpoint == entrance or (room != bp.name and request.blueprint == room)


@bp.get("/")
def overview() -> str:
    """Answer: what did I give this year, what is my monthly gift, is anything wrong."""
    session, donor_id, organisation = db.session(), _donor_id(), settings().organisation
    locale = organisation.locale
    name, email = session.execute(
        sa.select(Donor.name, Donor.email).where(Donor.id == donor_id)
    ).one()
    summary = history.summary_of(session, donor_id)
    monthly = history.recurring_of(session, donor_id)
    coming = history.coming_gifts_of(session, donor_id) if summary.has_coming else []
    latest = history.gifts_of(session, donor_id, limit=_RECENT).gifts
    this_year = local_date(now(), organisation.time_zone).year
    return render_template(
        "portal/overview.html",
        donor={"name": name, "email": email},
        this_year=presenting.totals_of(summary.totals, this_year, locale),
        by_year=presenting.bars_by_year(summary.totals, locale),
        recurring=presenting.monthly_cards(monthly, locale),
        recent=presenting.gift_rows(coming, latest, organisation)[:_RECENT],
        failed_charges=[
            charge_card(charge, organisation) for charge in standing.open_of(session, donor_id)
        ],
    )


@bp.get("/gifts")
def gifts() -> str:
    """Show the giving history, newest first, of all years or of one."""
    session, donor_id, organisation = db.session(), _donor_id(), settings().organisation
    year, after, before = _year(), _cursor("after"), _cursor("before")
    page = history.gifts_of(session, donor_id, year=year, after=after, before=before)
    summary = history.summary_of(session, donor_id)
    shows_coming = summary.has_coming and page.newer is None and year is None
    coming = history.coming_gifts_of(session, donor_id) if shows_coming else []
    here = partial(url_for, "portal.gifts")
    return render_template(
        "portal/gifts.html",
        years=presenting.year_links(summary.totals, year, here(), organisation.locale),
        rows=presenting.gift_rows(coming, page.gifts, organisation),
        previous_url=here(year=year, before=page.newer) if page.newer else None,
        next_url=here(year=year, after=page.older) if page.older else None,
        csv_url=url_for("portal.gifts_csv", year=year),
    )


@bp.get("/gifts.csv")
def gifts_csv() -> Response:
    """Send the giving history as a table, written while it is read."""
    year = _year()
    rows = history.every_gift(partial(reading_session, db.engine), _donor_id(), year=year)
    response = Response(spreadsheet.lines(rows), mimetype="text/csv")
    name = f"gifts-{year}.csv" if year else "gifts.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _donor_id() -> int:
    """Return who is signed in; the only donor whose gifts these pages can show."""
    donor_id: int | None = current_user.donor_id
    if donor_id is None:
        abort(404)
    return donor_id


def _year() -> int | None:
    text = request.args.get("year")
    if text is None:
        return None
    if not re.fullmatch(r"[12][0-9]{3}", text):
        abort(404)
    return int(text)


def _cursor(name: str) -> Cursor | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except ValueError:
        abort(404)
