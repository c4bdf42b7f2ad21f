"""Taking in the events that no endpoint of ours has answered, for as long as Stripe keeps them."""

from datetime import timedelta

import sqlalchemy as sa

from donorportal import clock
from donorportal.config import Settings
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, ReceivedEvent
from donorportal.payments.listing import ListingGateway, Undelivered
from donorportal.payments.stripe_gateway import EVENT_TYPES
from donorportal.webhooks.inbox import take_in

TASK = "webhooks.sweep"
# Stripe tries for three days by itself and keeps events for thirty.
_KEPT = timedelta(days=30)


def sweep(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Store what was not delivered, as if it had been; each becomes a job like any other.

    The setting that switches the nightly comparison off switches this off, too.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    if settings.reconcile != "nightly":
        return
    with run.reading() as session:
        engine = session.get_bind()
    if isinstance(engine, sa.Engine):
        take_in_undelivered(engine, gateway.listing)


def take_in_undelivered(engine: sa.Engine, listing: ListingGateway) -> int:
    """Store every event that no endpoint took, and return how many were new to us.

    Raises:
        GatewayUnavailable: No definite answer.

    """
    found = listing.undelivered(EVENT_TYPES, since=clock.now() - _KEPT)
    return sum(take_in(engine, _received(one)) for one in found)


def _received(event: Undelivered) -> ReceivedEvent:
    return ReceivedEvent(
        event_id=event.event_id,
        type=event.type,
        object_id=event.object_id,
        api_version=event.api_version,
        livemode=event.livemode,
        account=event.account,
        payload=event.payload,
    )
