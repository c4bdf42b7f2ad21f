"""What an event leads to: the object it names is read again, and our books follow that.

The event itself is only a hint. It may be late, doubled or out of order, or describe a state that
has passed; what the payment service says now is always right.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.settlement import settle
from donorportal.jobs.running import Run
from donorportal.payments.gateway import API_VERSION, Gateway, GatewayRejected
from donorportal.webhooks.models import EventState, InboundEvent

_FOLLOWED = (
    "checkout.session.",
    "payment_intent.",
    "charge.",
    "invoice.",
    "customer.subscription.",
    "payment_method.automatically_updated",
    "payment_method.updated",
    "payout.",
    "radar.early_fraud_warning.",
    "refund.",
    "setup_intent.",
)
# Said by Stripe in passing; what they mean for us arrives with the events above.
_OF_NO_CONCERN = (
    "balance.",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "invoice_payment.",
    "invoice.upcoming",
    "payment_method.attached",
    "payment_method.detached",
    "price.",
    "product.",
    "test_helpers.",
)


@dataclass(frozen=True, slots=True)
class _Hint:
    """The part of an event that is used."""

    type: str
    object_id: str | None
    livemode: bool
    account: str | None
    api_version: str | None

    @property
    def version_note(self) -> str | None:
        """Say so when the endpoint speaks another version than we do; nothing is lost by it."""
        if self.api_version == API_VERSION:
            return None
        return f"sent by an endpoint of API version {self.api_version}; ours is {API_VERSION}"


def process_event(run: Run, gateway: Gateway, settings: Settings, *, event: int) -> None:
    """Read again what an event of the inbox is about, and settle it.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        hint = _hint(session, event)
    refusal, seen = _refusal(hint, settings), None
    if refusal is None and hint.object_id is not None:
        try:
            seen = gateway.observe(hint.object_id)
        except GatewayRejected as rejected:
            refusal = EventState.QUARANTINED, f"Stripe's answer was not understood: {rejected}"
    with run.finishing() as session:
        if refusal is not None:
            _mark(session, event, *refusal)
        elif seen is None:
            _mark(session, event, EventState.QUARANTINED, "Stripe does not know the object")
        else:
            outcome = settle(session, seen, cause=hint.type, settings=settings)
            state = EventState.QUARANTINED if outcome.concern else EventState.PROCESSED
            _mark(session, event, state, outcome.concern or hint.version_note)


def _hint(session: Session, row_id: int) -> _Hint:
    row = session.execute(
        sa.select(
            InboundEvent.type,
            InboundEvent.object_id,
            InboundEvent.livemode,
            InboundEvent.account,
            InboundEvent.api_version,
        ).where(InboundEvent.id == row_id)
    ).one()
    return _Hint(*row)


def _refusal(hint: _Hint, settings: Settings) -> tuple[EventState, str] | None:
    """Return why an event is not followed, or None."""
    if hint.livemode != settings.livemode:
        return EventState.QUARANTINED, "test and live mode are mixed up"
    if hint.account is not None:
        return EventState.QUARANTINED, "about an account that is not ours"
    if hint.type.startswith(_OF_NO_CONCERN):
        return EventState.IGNORED, "of no concern to the books"
    if not hint.type.startswith(_FOLLOWED):
        return EventState.QUARANTINED, "a type of event that nobody has looked at yet"
    if hint.object_id is None:
        return EventState.QUARANTINED, "names no object"
    return None


def _mark(session: Session, row_id: int, state: EventState, note: str | None) -> None:
    session.execute(
        sa.update(InboundEvent)
        .where(InboundEvent.id == row_id)
        .values(state=state, note=note, processed_at=clock.now())
        .execution_options(synchronize_session=False)
    )
