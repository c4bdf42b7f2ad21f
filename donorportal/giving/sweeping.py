"""Finishing what nobody came back for: attempts whose page must be closed by now."""

from datetime import timedelta

import sqlalchemy as sa
import structlog

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.events import note
from donorportal.giving.models import Gift, GiftStatus, RecurringGift
from donorportal.giving.settlement import settle
from donorportal.jobs.running import Run
from donorportal.payments.gateway import Gateway, GatewayRejected

log = structlog.get_logger()

# Pages close two hours after they were asked for; Stripe's own message normally comes first.
_SURELY_CLOSED = timedelta(hours=3)
_AT_ONCE = 200


def finish_stale(run: Run, gateway: Gateway, settings: Settings) -> None:
    """Ask Stripe about each attempt that is still open long after its page closed, and book that.

    An attempt without a page was never answered by Stripe; nobody can have paid it.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    before = clock.now() - _SURELY_CLOSED
    for table in (Gift, RecurringGift):
        with run.reading() as session:
            stale = session.execute(
                sa.select(table.id, table.checkout_remote_id)
                .where(table.status == GiftStatus.STARTED, table.created_at < before)
                .where(table.checkout_asked_at < before)
                .order_by(table.created_at)
                .limit(_AT_ONCE)
            ).all()
        for row_id, checkout_id in stale:
            try:
                _finish(run, gateway, settings, table, row_id, checkout_id)
            except GatewayRejected as rejected:
                # The others must not wait for one that needs a person.
                log.warning("attempt not understood", row=row_id, reason=str(rejected))


def _finish(  # noqa: PLR0917 - one step of the loop above
    run: Run,
    gateway: Gateway,
    settings: Settings,
    table: type[Gift] | type[RecurringGift],
    row_id: int,
    checkout_id: str | None,
) -> None:
    seen = gateway.observe(checkout_id) if checkout_id else None
    with run.noting() as session:
        if seen is not None:
            settle(session, seen, cause="sweep of open attempts", settings=settings)
            return
        abandoned = session.execute(
            sa.update(table)
            .where(table.id == row_id, table.status == GiftStatus.STARTED)
            .values(status=GiftStatus.ABANDONED)
            .returning(table.id)
            .execution_options(synchronize_session=False)
        ).first()
        if abandoned is not None:
            note(session, table, row_id, GiftStatus.ABANDONED, cause="sweep of open attempts")
