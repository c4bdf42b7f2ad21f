"""Monthly gifts in the back office: find one, and change it for the donor on the telephone."""

from functools import partial
from uuid import UUID, uuid4

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from donorportal.access.sessions import SignedIn, whoever
from donorportal.audit.record import record
from donorportal.current import gateway, settings
from donorportal.db import db, reading_session, writing_session
from donorportal.giving.models import RecurringGift
from donorportal.giving.partner import flow, overview, reading, telling
from donorportal.giving.partner.flow import Elsewhere
from donorportal.giving.partner.halls import Hall
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.reading import Changeable
from donorportal.giving.partner.screens import Screen
from donorportal.staff.partners import finding

bp = Blueprint("partners", __name__, url_prefix="/partners")

_LARGEST_ID = 2**63 - 1
_LONGEST_SEARCH = 254
# A card is typed by its owner, and money goes back on the page of the gift.
_ACTIONS = ",".join(one for one in Action if one not in {Action.CARD, Action.ONCE})


@bp.get("")
def index() -> str:
    """List monthly gifts, of whoever is looked for."""
    typed = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    return render_template(
        "staff/partners/index.html",
        words=typed,
        found=finding.search(db.session(), typed, settings()),
    )


@bp.get("/<int:recurring_gift_id>")
def show(recurring_gift_id: int) -> str:
    """Show one monthly gift as the donor sees it, with what can be done."""
    gift = _known(recurring_gift_id)
    hall = _hall(gift)
    state, done = request.args.get("state", ""), request.args.get("done", "")
    return render_template(
        "staff/partners/show.html",
        donor={"name": gift.name, "email": gift.email},
        gift=overview.card_of(hall, gift),
        said=overview.notice_of(hall, gift.row_id, state, done),
        link_url=url_for("staff.partners.links", recurring_gift_id=gift.row_id),
        key=uuid4(),
    )


@bp.route(f"/<int:recurring_gift_id>/<any({_ACTIONS}):action>", methods=["GET", "POST"])
def change(recurring_gift_id: int, action: str) -> ResponseReturnValue:
    """Ask what the donor wants, show what it does to the money, and do it once confirmed."""
    gift = _known(recurring_gift_id)
    hall = _hall(gift)
    if request.method != "POST":
        return _answer(flow.look(hall, gift, Action(action), request.args))
    key = request.form.get("key", type=UUID) or uuid4()
    return _answer(flow.act(hall, gift, Action(action), request.form, key))


@bp.post("/<int:recurring_gift_id>/links")
def links(recurring_gift_id: int) -> ResponseReturnValue:
    """Mail the donor the way to the monthly gift; the same form sends one message."""
    gift = _known(recurring_gift_id)
    key = request.form.get("key", type=UUID) or uuid4()
    with writing_session(db.engine) as session:
        row = session.get_one(RecurringGift, gift.row_id)
        if telling.mail_link(session, row, settings(), key=str(key)):
            subject = f"recurring-gift:{gift.row_id}"
            record(session, actor=_actor(), action="send link", subject=subject)
    target = url_for(
        "staff.partners.show", recurring_gift_id=gift.row_id, gift=gift.row_id, state="linked"
    )
    return redirect(target, 303)


def _hall(gift: Changeable) -> Hall:
    actor = _actor()
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
        actor=actor,
        base="staff/base.html",
        home=url_for("staff.partners.show", recurring_gift_id=gift.row_id),
        url=_url,
        card_left_url=lambda _gift_id: f"{settings().public_url}/portal/partner",
    )


def _url(gift_id: int, action: Action) -> str:
    # Not url_for: the donor's own actions have a name here and no page.
    return f"{url_for('staff.partners.show', recurring_gift_id=gift_id)}/{action}"


def _answer(answer: Screen | Elsewhere) -> ResponseReturnValue:
    if isinstance(answer, Elsewhere):
        return redirect(answer.url, 303)
    return render_template(answer.template, **answer.context), answer.status


def _known(recurring_gift_id: int) -> Changeable:
    if recurring_gift_id > _LARGEST_ID:
        abort(404)
    with reading_session(db.engine) as session:
        gift = reading.find(session, recurring_gift_id, settings())
    return gift or abort(404)


def _actor() -> str:
    person = whoever()
    if not isinstance(person, SignedIn):
        abort(404)
    return person.actor
