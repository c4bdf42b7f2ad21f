"""A donor's page about a charge that the bank did not pay, and the button to try again."""

from uuid import UUID, uuid4

import structlog
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from donorportal.current import gateway, settings
from donorportal.db import db, reading_session, unit_of_work
from donorportal.giving.recovery import standing, trying
from donorportal.giving.recovery.standing import Standing
from donorportal.giving.recovery.trying import TriedTooOften
from donorportal.ledger.halting import PostingHalted
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable
from donorportal.portal.recovery import presenting

bp = Blueprint("recovery", __name__)
log = structlog.get_logger()

_LARGEST_ID = 2**63 - 1


@bp.route("/partner/<int:recurring_gift_id>/charge", methods=["GET", "POST"])
def charge(recurring_gift_id: int) -> ResponseReturnValue:
    """Say how a charge stands that failed, and try it again when asked to."""
    found = _own(recurring_gift_id)
    if found is None:
        # Nothing failed, or we have only heard that something did.
        return redirect(url_for("portal.partner.show"), 303)
    if request.method != "POST":
        return _page(found)
    key = request.form.get("key", type=UUID) or uuid4()
    try:
        with unit_of_work() as session:
            asked = trying.ask(session, recurring_gift_id, key=key, actor=current_user.actor)
        if asked is not None and asked.outcome is None:
            seen = trying.attempt(gateway(), asked)
            with unit_of_work() as session:
                trying.book(session, asked, seen, settings=settings())
    except TriedTooOften:
        return _page(found, trouble="too often"), 429
    except (GatewayUnavailable, GatewayRejected, PostingHalted) as trouble:
        log.warning("not known what came of a try", gift=recurring_gift_id, trouble=repr(trouble))
        # The same key again: whatever happened over there happens once.
        return _page(found, trouble="not known", key=key), 503
    return redirect(request.path, 303)


def _page(found: Standing, *, trouble: str | None = None, key: UUID | None = None) -> str:
    return render_template(
        "portal/charge.html",
        charge=presenting.charge_card(found, settings().organisation),
        most_per_day=trying.MOST_PER_DAY,
        trouble=trouble,
        key=key or uuid4(),
    )


def _own(recurring_gift_id: int) -> Standing | None:
    """Return the failed charge of a gift of the donor who is signed in; others are not found."""
    donor_id: int | None = current_user.donor_id
    if donor_id is None or recurring_gift_id > _LARGEST_ID:
        abort(404)
    with reading_session(db.engine) as session:
        if not standing.is_own(session, donor_id, recurring_gift_id):
            abort(404)
        return standing.of_gift(session, donor_id, recurring_gift_id)
