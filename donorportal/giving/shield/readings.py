"""The shield's state in numbers, for whoever watches over it."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.giving.shield import alarm, holds, tallies
from donorportal.giving.shield.tallies import What


def now(connection: sa.Connection) -> dict[str, float]:
    """Return the counts of this hour so far, the blocks, and 1 while work is asked of everybody."""
    with Session(connection, join_transaction_mode="rollback_only") as session:
        counts = tallies.this_hour(session)
        standing = holds.standing(session, [holds.SITE, holds.OFF])
        blocks = holds.blocked(session)
    return {
        "shield_on": float(alarm.is_on(standing)),
        "shield_blocks": float(blocks),
        **{f'shield_this_hour{{what="{what}"}}': float(counts.get(what, 0)) for what in What},
    }
