"""The door for Stripe's events: verify, store, answer. Nothing else happens here."""

import structlog
from flask import Blueprint, request

from donorportal.current import gateway
from donorportal.db import unit_of_work
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
    with unit_of_work() as session:
        take_in(session, event)
    return "", 200
