"""What must hold between gifts, receipts and the ledger."""

import sqlalchemy as sa

from donorportal.giving.models import Gift, GiftStatus, Receipt, ReceiptSeries, Refund
from donorportal.ledger import check
from donorportal.ledger.models import Entry, Posting

_SHOWN = 20


def violations(connection: sa.Connection) -> list[str]:
    """Return a sentence for each invariant that does not hold; empty is right."""
    return [
        *check.violations(connection),
        *_gifts_not_in_the_ledger(connection),
        *_charges_without_a_gift(connection),
        *_gifts_without_a_receipt(connection),
        *_gaps_in_the_receipts(connection),
        *_refunds_that_do_not_add_up(connection),
    ]


def _gifts_not_in_the_ledger(connection: sa.Connection) -> list[str]:
    """Every received gift is one charge entry with its amount and currency as income."""
    income = (
        sa.select(
            Entry.source,
            Posting.currency,
            (-sa.func.sum(Posting.amount_minor)).label("amount_minor"),
        )
        .join(Posting, Posting.entry_id == Entry.id)
        .where(Entry.source.like("charge:%"), Posting.account.like("gifts:%"))
        .group_by(Entry.source, Posting.currency)
        .subquery()
    )
    rows = connection.execute(
        sa.select(Gift.id)
        .outerjoin(
            income,
            sa.and_(
                income.c.source == sa.literal("charge:") + Gift.charge_remote_id,
                income.c.currency == Gift.currency,
                income.c.amount_minor == Gift.amount_minor,
            ),
        )
        .where(Gift.status == GiftStatus.RECEIVED, income.c.source.is_(None))
        .limit(_SHOWN)
    )
    return [f"gift {gift} is received but not so in the ledger" for (gift,) in rows]


def _charges_without_a_gift(connection: sa.Connection) -> list[str]:
    rows = connection.execute(
        sa.select(Entry.source)
        .outerjoin(
            Gift,
            sa.and_(
                # Cut from the source, so that the index of the charges can be used.
                Gift.charge_remote_id == sa.func.substr(Entry.source, len("charge:") + 1),
                Gift.status == GiftStatus.RECEIVED,
            ),
        )
        .where(Entry.source.like("charge:%"), Gift.id.is_(None))
        .limit(_SHOWN)
    )
    return [f"{source} is in the ledger but is no received gift" for (source,) in rows]


def _gifts_without_a_receipt(connection: sa.Connection) -> list[str]:
    missing = connection.execute(
        sa.select(Gift.id)
        .outerjoin(Receipt, Receipt.gift_id == Gift.id)
        .where(Gift.status == GiftStatus.RECEIVED, Receipt.id.is_(None))
        .limit(_SHOWN)
    )
    found = [f"gift {gift} has no receipt" for (gift,) in missing]
    early = connection.execute(
        sa.select(Receipt.number)
        .join(Gift, Gift.id == Receipt.gift_id)
        .where(Gift.status != GiftStatus.RECEIVED)
        .limit(_SHOWN)
    )
    return found + [f"receipt {number} is for a gift that was not received" for (number,) in early]


def _gaps_in_the_receipts(connection: sa.Connection) -> list[str]:
    rows = connection.execute(
        sa.select(
            ReceiptSeries.year,
            ReceiptSeries.last_serial,
            sa.func.count(Receipt.id),
            sa.func.coalesce(sa.func.max(Receipt.serial), 0),
        )
        .outerjoin(Receipt, Receipt.year == ReceiptSeries.year)
        .group_by(ReceiptSeries.year, ReceiptSeries.last_serial)
    )
    return [
        f"receipts of {year}: {count} exist, the highest serial is {highest}, {last} were given out"
        for year, last, count, highest in rows
        if not last == count == highest
    ]


def _refunds_that_do_not_add_up(connection: sa.Connection) -> list[str]:
    refunded = (
        sa.select(Refund.gift_id, sa.func.sum(Refund.amount_minor).label("minor"))
        .where(Refund.status == "succeeded")
        .group_by(Refund.gift_id)
        .subquery()
    )
    rows = connection.execute(
        sa.select(Gift.id)
        .outerjoin(refunded, refunded.c.gift_id == Gift.id)
        .where(Gift.refunded_minor != sa.func.coalesce(refunded.c.minor, 0))
        .limit(_SHOWN)
    )
    return [f"gift {gift}: its refunds do not add up to what it says" for (gift,) in rows]
