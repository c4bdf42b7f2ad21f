"""What must hold between failed charges, monthly gifts and the gifts that came of them."""

import sqlalchemy as sa

from donorportal.giving.models import OVER, Gift, GiftStatus, RecurringGift
from donorportal.giving.recovery.models import ChargeState, FailedCharge

_SHOWN = 20


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each rule that does not hold; empty is right."""
    return [*_recovered_without_a_gift(connection), *_open_after_the_end(connection)]


def _recovered_without_a_gift(connection: sa.Connection) -> list[str]:
    """Compare: a failed charge is recovered exactly when its month became a gift."""
    rows = connection.execute(
        sa.select(FailedCharge.invoice_remote_id, FailedCharge.state)
        .outerjoin(
            Gift,
            sa.and_(
                Gift.invoice_remote_id == FailedCharge.invoice_remote_id,
                Gift.status == GiftStatus.RECEIVED,
            ),
        )
        .where((FailedCharge.state == ChargeState.RECOVERED) != Gift.id.is_not(None))
        .limit(_SHOWN)
    )
    return [
        f"the failed charge {invoice} is {state}, its gift says otherwise"
        for invoice, state in rows
    ]


def _open_after_the_end(connection: sa.Connection) -> list[str]:
    rows = connection.execute(
        sa.select(FailedCharge.invoice_remote_id, RecurringGift.status)
        .join(RecurringGift, RecurringGift.id == FailedCharge.recurring_gift_id)
        .where(FailedCharge.state == ChargeState.OPEN, RecurringGift.status.in_(OVER))
        .limit(_SHOWN)
    )
    return [f"the charge {invoice} is open, its gift has {status}" for invoice, status in rows]
