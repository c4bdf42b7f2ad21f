"""The door for Stripe's events: verify, store, answer. Nothing else happens here."""

import structlog
from flask import Blueprint, request

from donorportal.current import gateway, wake
from donorportal.db import db
from donorportal.payments.gateway import SignatureRefused
from donorportal.webhooks.inbox import take_in

bp = Blueprint("webhooks", __name__, url_prefix="/webhooks")
log = structlog.get_logger()


@bp.post("/stripe")
def stripe() -> tuple[str, int]:
    """Store an event that Stripe signed; whatever it is, it is answered with 200."""
    try:
        event = gateway().verify_event(
            request.get_data(), request.headers.get("Stripe-Signature", "")
        )
    except SignatureRefused as refused:
        log.warning("webhook refused", reason=str(refused))
        return "", 400
    if take_in(db.engine, event):
        wake()
    return "", 200
