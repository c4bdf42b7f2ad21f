"""What must hold between gifts, receipts and the ledger."""

import sqlalchemy as sa

from donorportal.giving.models import Gift, GiftStatus, Receipt, ReceiptSeries
from donorportal.giving.partner import books as changed
from donorportal.giving.payouts import proving as payouts
from donorportal.giving.recovery import books as recovered
from donorportal.giving.returns import books as returned
from donorportal.ledger import check
from donorportal.ledger.check import Span
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
        *changed.violations(connection),
        *payouts.violations(connection),
        *recovered.violations(connection),
        *returned.violations(connection),
    ]


def recent_violations(connection: sa.Connection, span: Span) -> list[str]:
    """Return what is wrong with the entries of a span and the gifts they belong to."""
    return [
        *check.violations(connection, span),
        *_charges_without_a_gift(connection, span.covers(Entry.id)),
        *_charges_with_another_amount(connection, span.covers(Entry.id)),
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


def _charges_without_a_gift(
    connection: sa.Connection, which: sa.ColumnElement[bool] | None = None
) -> list[str]:
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
        .where(sa.true() if which is None else which)
        .limit(_SHOWN)
    )
    return [f"{source} is in the ledger but is no received gift" for (source,) in rows]


def _charges_with_another_amount(
    connection: sa.Connection, which: sa.ColumnElement[bool]
) -> list[str]:
    """Every charge brings in the whole amount of its gift."""
    rows = connection.execute(
        sa.select(Entry.source)
        .join(Gift, Gift.charge_remote_id == sa.func.substr(Entry.source, len("charge:") + 1))
        .outerjoin(
            Posting,
            sa.and_(
                Posting.entry_id == Entry.id,
                Posting.account.like("gifts:%"),
                Posting.currency == Gift.currency,
                Posting.amount_minor == -Gift.amount_minor,
            ),
        )
        .where(Entry.source.like("charge:%"), Posting.id.is_(None), which)
        .limit(_SHOWN)
    )
    return [f"{source} has another amount than its gift" for (source,) in rows]


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
