"""The door of the link back to a monthly gift that lapsed."""

from flask import Blueprint, redirect, render_template
from flask.typing import ResponseReturnValue

from donorportal.current import settings
from donorportal.db import db, reading_session
from donorportal.giving.recovery import welcome_back
from donorportal.giving.recovery.welcome_back import Link

bp = Blueprint("recovery", __name__)

_STATUS = {Link.USED: 200, Link.EXPIRED: 410, Link.FORGED: 404}


@bp.get("/welcome-back/<token>")
def come_back(token: str) -> ResponseReturnValue:
    """Fill in the giving form, or say why the link no longer does."""
    with reading_session(db.engine) as session:
        answer = welcome_back.read(session, token, settings())
    if answer.link is Link.GOOD:
        return redirect(f"/give?{answer.form_query}", 303)
    page = render_template("giving/welcome_back.html", link=answer.link)
    return page, _STATUS[answer.link]
