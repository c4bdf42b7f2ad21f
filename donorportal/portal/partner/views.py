"""A donor's pages about the monthly gift: how it stands, and every change of it."""

from functools import partial
from uuid import UUID, uuid4

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from donorportal.current import gateway, settings
from donorportal.db import db, reading_session, writing_session
from donorportal.giving.partner import flow, overview, reading
from donorportal.giving.partner.flow import Elsewhere
from donorportal.giving.partner.halls import Hall
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.reading import Changeable
from donorportal.giving.partner.screens import Screen

bp = Blueprint("partner", __name__, url_prefix="/partner")

_LARGEST_ID = 2**63 - 1
_ACTIONS = ",".join(Action)


@bp.get("")
def show() -> str:
    """Show the monthly gifts with their next charges, and what can be done with each."""
    hall, donor_id = _hall(), _donor_id()
    with hall.reading() as session:
        standing = reading.standing_of(session, donor_id, settings())
        ended = reading.ended_of(session, donor_id, settings())
    about = request.args.get("gift", type=int)
    own = about if about in {gift.row_id for gift in (*standing, *ended)} else None
    state, done = request.args.get("state", ""), request.args.get("done", "")
    return render_template(
        "portal/partner.html",
        standing=[overview.card_of(hall, gift) for gift in standing],
        ended=[overview.card_of(hall, gift) for gift in ended],
        said=overview.notice_of(hall, own, state, done) if own else None,
    )


@bp.route(f"/<int:recurring_gift_id>/<any({_ACTIONS}):action>", methods=["GET", "POST"])
def change(recurring_gift_id: int, action: str) -> ResponseReturnValue:
    """Ask what is wanted, show what it does to the money, and do it once that is confirmed."""
    hall, gift = _hall(), _own(recurring_gift_id)
    if request.method != "POST":
        return _answer(flow.look(hall, gift, Action(action), request.args))
    key = request.form.get("key", type=UUID) or uuid4()
    return _answer(flow.act(hall, gift, Action(action), request.form, key))


@bp.get("/<int:recurring_gift_id>/card-left")
def card_left(recurring_gift_id: int) -> ResponseReturnValue:
    """Take the card with which the donor comes back from Stripe's page."""
    session_id = request.args.get("cs", "")[:255]
    return _answer(flow.take_card(_hall(), _own(recurring_gift_id), session_id))


def _hall() -> Hall:
    # The payment service is asked next: who is signed in was read, and no transaction waits.
    db.session.remove()
    engine = db.engine
    offers = current_app.extensions["catalogue"].offers(engine)
    return Hall(
        settings=settings(),
        gateway=gateway(),
        transaction=partial(writing_session, engine),
        reading=partial(reading_session, engine),
        offers=offers.designations,
        actor=current_user.actor,
        base="portal/base.html",
        home=url_for("portal.partner.show"),
        url=_url,
        card_left_url=_card_left_url,
    )


def _url(gift_id: int, action: Action) -> str:
    return url_for("portal.partner.change", recurring_gift_id=gift_id, action=action.value)


def _card_left_url(gift_id: int) -> str:
    path = url_for("portal.partner.card_left", recurring_gift_id=gift_id)
    return f"{settings().public_url}{path}"


def _answer(answer: Screen | Elsewhere) -> ResponseReturnValue:
    if isinstance(answer, Elsewhere):
        return redirect(answer.url, 303)
    return render_template(answer.template, **answer.context), answer.status


def _own(recurring_gift_id: int) -> Changeable:
    """Return a monthly gift of the donor who is signed in; anybody else's is not found."""
    if recurring_gift_id > _LARGEST_ID:
        abort(404)
    with reading_session(db.engine) as session:
        gift = reading.find(session, recurring_gift_id, settings(), donor_id=_donor_id())
    return gift or abort(404)


def _donor_id() -> int:
    donor_id: int | None = current_user.donor_id
    if donor_id is None:
        abort(404)
    return donor_id
