"""A donor's own pages: the overview, the giving history, the monthly gift."""

import re
from functools import partial
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog
from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from donorportal.clock import local_date, now
from donorportal.current import gateway, settings
from donorportal.db import db, reading_session, unit_of_work
from donorportal.donors.models import Donor
from donorportal.giving import changing, history
from donorportal.giving.changing import Changeable
from donorportal.giving.history import Cursor
from donorportal.money import AmountRefused, Money, parse_amount
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable
from donorportal.portal import presenting, spreadsheet

bp = Blueprint("portal", __name__, url_prefix="/portal")
log = structlog.get_logger()

_PAGES = (
    ("portal.overview", "Overview"),
    ("portal.gifts", "Gifts"),
    ("portal.partner", "Monthly gift"),
)
_RECENT = 5
_LARGEST_ID = 2**63 - 1
_LONGEST_AMOUNT = 100


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
            {"name": name, "url": url_for(endpoint), "current": request.endpoint == endpoint}
            for endpoint, name in _PAGES
        ]
    }


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
        attention=presenting.warnings_of(monthly, locale),
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


@bp.get("/partner")
def partner() -> str:
    """Show the monthly gifts, and what can be done with each."""
    session, donor_id, locale = db.session(), _donor_id(), settings().organisation.locale
    monthly = history.recurring_of(session, donor_id)
    ended = changing.ended_of(session, donor_id, settings())
    return render_template(
        "portal/partner.html",
        recurring=presenting.monthly_cards(monthly, locale),
        ended=presenting.ended_gifts(ended, locale),
        attention=presenting.warnings_of(monthly, locale),
        changed=request.args.get("changed", type=int),
        stopped=request.args.get("stopped", type=int),
    )


@bp.route("/partner/<int:recurring_gift_id>/amount", methods=["GET", "POST"])
def partner_amount(recurring_gift_id: int) -> ResponseReturnValue:
    """Show what another amount would change, and change it once that is confirmed."""
    gift, locale = _own(recurring_gift_id), settings().organisation.locale
    if gift.has_ended:
        return redirect(url_for("portal.partner", stopped=gift.row_id), 303)
    confirmed = request.method == "POST"
    typed = (request.form if confirmed else request.args).get("amount")
    if typed is None and not confirmed:
        return _amount_page(gift)
    typed = (typed or "")[:_LONGEST_AMOUNT]
    try:
        amount = parse_amount(typed, gift.amount.currency, locale)
    except AmountRefused as refused:
        return _amount_page(gift, typed=typed, error=str(refused)), 422
    if confirmed:
        return _change_amount(gift, amount, typed)
    if amount == gift.amount:
        error = f"Your monthly gift is {amount.text(locale)} already."
        return _amount_page(gift, typed=typed, error=error), 422
    return _amount_page(gift, typed=typed, amount=amount)


@bp.route("/partner/<int:recurring_gift_id>/end", methods=["GET", "POST"])
def partner_end(recurring_gift_id: int) -> ResponseReturnValue:
    """Say what stopping means for the money, and stop."""
    gift = _own(recurring_gift_id)
    if gift.has_ended:
        return redirect(url_for("portal.partner", stopped=gift.row_id), 303)
    if request.method != "POST":
        card = presenting.change_card(gift, settings().organisation.locale)
        return render_template("portal/partner_end.html", gift=card)
    try:
        seen = changing.ask_for_end(gateway(), gift)
        with unit_of_work() as session:
            changing.settle_end(session, gift, seen, actor=current_user.actor, settings=settings())
    except (GatewayUnavailable, GatewayRejected) as trouble:
        return _unsure(trouble, request.path)
    return redirect(url_for("portal.partner", stopped=gift.row_id), 303)


def _change_amount(gift: Changeable, amount: Money, typed: str) -> ResponseReturnValue:
    form_key = request.form.get("key", type=UUID) or uuid4()
    here = partial(url_for, "portal.partner_amount", recurring_gift_id=gift.row_id, amount=typed)
    try:
        seen = changing.ask_for_amount(gateway(), gift, amount, form_key=form_key)
    except (GatewayUnavailable, GatewayRejected) as trouble:
        return _unsure(trouble, here())
    with unit_of_work() as session:
        is_new_amount = changing.settle_amount(
            session,
            gift,
            amount,
            seen,
            form_key=form_key,
            actor=current_user.actor,
            settings=settings(),
        )
    if not is_new_amount:
        # An earlier form, sent again, does not undo what a later one changed.
        return redirect(here(look="again"), 303)
    return redirect(url_for("portal.partner", changed=gift.row_id), 303)


def _amount_page(
    gift: Changeable, *, typed: str = "", amount: Money | None = None, error: str | None = None
) -> str:
    locale = settings().organisation.locale
    return render_template(
        "portal/partner_amount.html",
        gift=presenting.change_card(gift, locale),
        limits_note=presenting.limits_note(gift.amount.currency, locale),
        typed=typed,
        new_amount_text=amount.text(locale) if amount else None,
        key=uuid4(),
        errors={"amount": error} if error else {},
        look_again="look" in request.args,
    )


def _unsure(trouble: Exception, again: str) -> ResponseReturnValue:
    """Say that a change may not have happened; the page to try again makes a new form."""
    reference = uuid4().hex[:8]
    log.error("monthly gift not changed", reference=reference, trouble=repr(trouble))
    page = render_template("portal/partner_unsure.html", again_url=again, reference=reference)
    return page, 503 if isinstance(trouble, GatewayUnavailable) else 500


def _own(recurring_gift_id: int) -> Changeable:
    """Return a monthly gift of the donor who is signed in; anybody else's is not found."""
    if recurring_gift_id > _LARGEST_ID:
        abort(404)
    with reading_session(db.engine) as session:
        gift = changing.find(session, _donor_id(), recurring_gift_id, settings())
    return gift or abort(404)


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
