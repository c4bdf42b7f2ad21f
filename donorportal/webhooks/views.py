"""The door for Stripe's events: verify, store, answer. Nothing else happens here."""

import structlog
from flask import Blueprint, Response, request

from donorportal.current import gateway, wake
from donorportal.db import db
from donorportal.payments.gateway import SignatureRefused
from donorportal.webhooks.inbox import take_in

bp = Blueprint("webhooks", __name__, url_prefix="/webhooks")
log = structlog.get_logger()


@bp.post("/stripe")
def stripe() -> Response:
    """Store an event that Stripe signed; whatever it is, it is answered with 200."""
    try:
        event = gateway().verify_event(
            request.get_data(), request.headers.get("Stripe-Signature", "")
        )
    except SignatureRefused as refused:
        log.warning("webhook refused", reason=str(refused))
        return _answer(400)
    if take_in(db.engine, event):
        wake()
    return _answer(200)


def _answer(status: int) -> Response:
    """Return an answer without a word: it is for a program, so it is no page to be compressed."""
    return Response(status=status, mimetype="text/plain")
