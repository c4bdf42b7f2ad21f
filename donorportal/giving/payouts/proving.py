"""What must hold between payouts, their lines and the ledger."""

import sqlalchemy as sa

from donorportal.giving.payouts.models import Payout, PayoutLine
from donorportal.ledger import accounts
from donorportal.ledger.models import Entry, Posting

_SHOWN = 20


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each invariant that does not hold; empty is right."""
    return [
        *_entries_without_a_payout(connection),
        *_payouts_with_another_amount(connection),
        *_payouts_said_to_agree(connection),
    ]


def _entries_without_a_payout(connection: sa.Connection) -> list[str]:
    rows = connection.execute(
        sa.select(Entry.source)
        .outerjoin(Payout, Payout.remote_id == sa.func.substr(Entry.source, len("payout:") + 1))
        .where(Entry.source.like("payout:%"), Payout.id.is_(None))
        .limit(_SHOWN)
    )
    return [f"{source} is in the ledger but is no payout" for (source,) in rows]


def _payouts_with_another_amount(connection: sa.Connection) -> list[str]:
    """Every payout that is booked brings its amount to the bank, and nothing once it came back."""
    rows = connection.execute(
        sa.select(Payout.remote_id)
        .join(Entry, Entry.source == sa.literal("payout:") + Payout.remote_id)
        .outerjoin(
            Posting,
            sa.and_(
                Posting.entry_id == Entry.id,
                Posting.account == accounts.BANK,
                Posting.currency == Payout.currency,
                Posting.amount_minor == Payout.amount_minor,
            ),
        )
        .where(Posting.id.is_(None), Payout.amount_minor != 0)
        .limit(_SHOWN)
    )
    return [f"payout {remote_id} is not so in the ledger" for (remote_id,) in rows]


def _payouts_said_to_agree(connection: sa.Connection) -> list[str]:
    """Every payout without a concern is the sum of its lines, none of which has one either."""
    rows = connection.execute(
        sa.select(Payout.remote_id)
        .join(PayoutLine, PayoutLine.payout_id == Payout.id)
        .where(Payout.lines_minor.is_not(None), Payout.concern.is_(None))
        .group_by(Payout.id, Payout.remote_id, Payout.amount_minor, Payout.lines_minor)
        .having(
            sa.or_(
                sa.func.sum(PayoutLine.net_minor) != Payout.amount_minor,
                Payout.lines_minor != Payout.amount_minor,
                sa.func.count(PayoutLine.concern) > 0,
            )
        )
        .limit(_SHOWN)
    )
    return [f"payout {remote_id} agrees only by its own word" for (remote_id,) in rows]
