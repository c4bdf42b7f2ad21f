"""What must hold between gifts, what went back of them, and the ledger."""

import sqlalchemy as sa

from donorportal.giving.models import Gift
from donorportal.giving.returns.models import (
    GOING_BACK,
    DisputeMovement,
    DisputeRecord,
    Refund,
    RefundStatus,
)
from donorportal.ledger import accounts
from donorportal.ledger.models import Entry, Posting
from donorportal.payments.returns import DisputeState

_SHOWN = 20
_CAME_BACK = (RefundStatus.FAILED, RefundStatus.CANCELED)


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each invariant that does not hold; empty is right."""
    return [
        *_gifts_that_do_not_add_up(connection),
        *_refunds_not_in_the_ledger(connection),
        *_entries_without_a_refund(connection),
        *_disputes_that_do_not_add_up(connection),
        *_disputed_money_that_does_not_add_up(connection),
    ]


def _gifts_that_do_not_add_up(connection: sa.Connection) -> list[str]:
    """Compare what a gift says went back with the sum of its refunds and lost disputes."""
    refunded = (
        sa.select(Refund.gift_id, sa.func.sum(Refund.amount_minor).label("minor"))
        .where(Refund.status.in_(GOING_BACK))
        .group_by(Refund.gift_id)
        .subquery()
    )
    lost = (
        sa.select(DisputeRecord.gift_id, sa.func.sum(DisputeRecord.lost_minor).label("minor"))
        .group_by(DisputeRecord.gift_id)
        .subquery()
    )
    rows = connection.execute(
        sa.select(Gift.id)
        .outerjoin(refunded, refunded.c.gift_id == Gift.id)
        .outerjoin(lost, lost.c.gift_id == Gift.id)
        .where(
            sa.or_(
                Gift.refunded_minor != sa.func.coalesce(refunded.c.minor, 0),
                Gift.lost_minor != sa.func.coalesce(lost.c.minor, 0),
            )
        )
        .limit(_SHOWN)
    )
    return [f"gift {gift}: what went back does not add up to what it says" for (gift,) in rows]


def _refunds_not_in_the_ledger(connection: sa.Connection) -> list[str]:
    """Find refunds whose income was not reversed, or not twice for one that came back."""
    rows = connection.execute(_refunds_lacking("refund:", sa.true(), sign=1))
    found = [f"refund {refund} is not so in the ledger" for (refund,) in rows]
    rows = connection.execute(
        _refunds_lacking("refund-failed:", Refund.status.in_(_CAME_BACK), sign=-1)
    )
    return found + [f"refund {refund} came back, but not in the ledger" for (refund,) in rows]


def _refunds_lacking(prefix: str, which: sa.ColumnElement[bool], *, sign: int) -> sa.Select[int]:
    """Select the refunds that lack an entry of their amount against income."""
    income = (
        sa.select(
            Entry.source,
            Posting.currency,
            (sign * sa.func.sum(Posting.amount_minor)).label("minor"),
        )
        .join(Posting, Posting.entry_id == Entry.id)
        .where(Entry.source.like(f"{prefix}%"), Posting.account.like("gifts:%"))
        .group_by(Entry.source, Posting.currency)
        .subquery()
    )
    return (
        sa.select(Refund.id)
        .outerjoin(
            income,
            sa.and_(
                income.c.source == sa.literal(prefix) + Refund.remote_id,
                income.c.currency == Refund.currency,
                income.c.minor == Refund.amount_minor,
            ),
        )
        .where(Refund.remote_id.is_not(None), which, income.c.source.is_(None))
        .limit(_SHOWN)
    )


def _entries_without_a_refund(connection: sa.Connection) -> list[str]:
    found = []
    for prefix, statuses in (("refund:", tuple(RefundStatus)), ("refund-failed:", _CAME_BACK)):
        rows = connection.execute(
            sa.select(Entry.source)
            .outerjoin(
                Refund,
                sa.and_(
                    # Cut from the source, so that the index of the refunds can be used.
                    Refund.remote_id == sa.func.substr(Entry.source, len(prefix) + 1),
                    Refund.status.in_(statuses),
                ),
            )
            .where(Entry.source.like(f"{prefix}%"), Refund.id.is_(None))
            .limit(_SHOWN)
        )
        found += [f"{source} is in the ledger but is no such refund" for (source,) in rows]
    return found


def _disputes_that_do_not_add_up(connection: sa.Connection) -> list[str]:
    """Find disputes of which what the bank keeps was not cleared, or was before its decision."""
    moved = (
        sa.select(
            DisputeMovement.dispute_id, sa.func.sum(DisputeMovement.amount_minor).label("minor")
        )
        .group_by(DisputeMovement.dispute_id)
        .subquery()
    )
    kept = -sa.func.coalesce(moved.c.minor, 0)
    is_open = DisputeRecord.status.in_([DisputeState.OPEN, DisputeState.UNKNOWN])
    rows = connection.execute(
        sa.select(DisputeRecord.remote_id)
        .outerjoin(moved, moved.c.dispute_id == DisputeRecord.id)
        .where(DisputeRecord.cleared_minor != sa.case((is_open, 0), else_=kept))
        .limit(_SHOWN)
    )
    return [f"dispute {dispute} does not add up" for (dispute,) in rows]


def _disputed_money_that_does_not_add_up(connection: sa.Connection) -> list[str]:
    """Compare the account of disputed money with what banks took and did not decide about."""
    expected: dict[str, int] = {}
    moved = sa.select(
        DisputeMovement.currency, -sa.func.sum(DisputeMovement.amount_minor)
    ).group_by(DisputeMovement.currency)
    currency = (
        sa.select(sa.func.min(DisputeMovement.currency))
        .where(DisputeMovement.dispute_id == DisputeRecord.id)
        .scalar_subquery()
    )
    cleared = (
        sa.select(currency, -sa.func.sum(DisputeRecord.cleared_minor))
        .where(DisputeRecord.cleared_minor != 0)
        .group_by(currency)
    )
    for statement in (moved, cleared):
        for code, minor in connection.execute(statement):
            expected[code] = expected.get(code, 0) + int(minor)
    held = sa.select(Posting.currency, -sa.func.sum(Posting.amount_minor)).where(
        Posting.account == accounts.DISPUTED
    )
    for code, minor in connection.execute(held.group_by(Posting.currency)):
        expected[code] = expected.get(code, 0) + int(minor)
    return [
        f"{accounts.DISPUTED} is off by {minor} {code} from what the disputes say"
        for code, minor in sorted(expected.items())
        if minor
    ]
