"""The donors' door, and the way out for everybody."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from donorportal.access import people, sessions
from donorportal.access.doors import Door
from donorportal.access.people import Person, Realm
from donorportal.access.sessions import SignedIn, whoever
from donorportal.db import unit_of_work

bp = Blueprint("access", __name__)


def _enter(person: Person) -> ResponseReturnValue:
    target = _door.target()
    sessions.begin(person)
    return redirect(target or url_for("portal.overview"), code=303)


_door = Door(realm=Realm.DONOR, blueprint="access", enter=_enter)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Ask for a code."""
    if whoever().donor_id is not None:
        return redirect(url_for("portal.overview"), code=303)
    return _door.ask()


@bp.route("/sign-in/code", methods=["GET", "POST"])
def code() -> ResponseReturnValue:
    """Type the code."""
    return _door.type_code()


@bp.route("/sign-in/<token>", methods=["GET", "POST"])
def link(token: str) -> ResponseReturnValue:
    """Follow the link."""
    return _door.follow_link(token)


@bp.route("/sign-out", methods=["GET", "POST"])
def sign_out() -> ResponseReturnValue:
    """Offer to sign out, and do so, in every browser: a copied cookie must not outlive it."""
    person = whoever()
    if request.method == "POST" and isinstance(person, SignedIn):
        with unit_of_work() as work:
            people.end_sessions(work, person.realm, person.id)
        sessions.end()
        return redirect(url_for("access.sign_out"), code=303)
    return render_template("access/signed_out.html", person=person)
