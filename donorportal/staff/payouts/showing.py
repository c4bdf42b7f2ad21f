"""Payouts as rows on a page, and as a table for a spreadsheet program."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from babel.dates import format_date
from markupsafe import Markup

from donorportal import clock
from donorportal.config import Organisation
from donorportal.giving.payouts import listing
from donorportal.giving.payouts.listing import Part
from donorportal.giving.payouts.models import Payout
from donorportal.money import Money
from donorportal.spreadsheet import plain_cell

_STATES = {
    "paid": "Arrived",
    "in_transit": "On its way",
    "pending": "Not sent yet",
    "failed": "Sent back",
    "canceled": "Canceled",
}
_KINDS = {
    ("charge", "charge"): "Gifts by card",
    ("payment", "charge"): "Gifts by bank debit",
    ("refund", "refund"): "Refunds",
    ("payment_refund", "refund"): "Refunds of bank debits",
    ("refund_failure", "refund_failure"): "Refunds that came back",
    ("adjustment", "dispute"): "Disputes",
    ("adjustment", "dispute_reversal"): "Disputes won",
    ("payment_failure_refund", "charge_failure"): "Bank debits taken back",
    ("payout_failure", "payout_reversal"): "Earlier payouts sent back",
}
_COLUMNS = (
    *("date", "transaction", "type", "category", "source", "gift", "receipt"),
    *("gross", "fee", "net", "currency", "needs a look"),
)


def row(payout: Payout, organisation: Organisation) -> dict[str, Any]:
    """Return a payout as a row of the list."""
    verdict, tone = _verdict(payout)
    return {
        "id": payout.id,
        "arrives": day(payout.arrives_on, organisation),
        "amount": payout.amount.exact(organisation.locale),
        "status": _STATES.get(payout.status, payout.status),
        "state": verdict,
        "tone": tone,
        "concern": payout.concern,
    }


def part(found: Part, organisation: Organisation) -> dict[str, Any]:
    """Return what the lines of one kind come to, as a row."""
    locale = organisation.locale
    fallback = found.kind.replace("_", " ").capitalize()
    return {
        "what": _KINDS.get((found.kind, found.category), fallback),
        "count": f"{found.count:,}",
        "gross": found.gross.exact(locale),
        "fee": found.fee.exact(locale),
        "net": found.net.exact(locale),
    }


def total(parts: Sequence[Part], payout: Payout, organisation: Organisation) -> dict[str, Any]:
    """Return the last row under the parts: their sum, which is the deposit."""
    locale = organisation.locale
    sums = {
        name: sum((getattr(one, name) for one in parts), Money(0, payout.currency))
        for name in ("gross", "fee", "net")
    }
    count = sum(one.count for one in parts)
    shown = {name: amount.exact(locale) for name, amount in sums.items()}
    return {"what": "Together", "count": f"{count:,}"} | shown


def line(found: sa.Row[Any], payout: Payout, organisation: Organisation) -> dict[str, Any]:
    """Return one line as a row."""
    locale, code = organisation.locale, payout.currency
    fallback = found.kind.replace("_", " ").capitalize()
    moved_on = clock.local_date(found.moved_at, organisation.time_zone)
    return {
        "moved": day(moved_on, organisation),
        "what": _KINDS.get((found.kind, found.category), fallback),
        "source": found.source_id or found.remote_id,
        "receipt": _gift_link(found.gift_id, found.receipt),
        "gross": Money(found.gross_minor, code).exact(locale),
        "fee": Money(found.fee_minor, code).exact(locale),
        "net": Money(found.net_minor, code).exact(locale),
        "concern": found.concern,
    }


def spreadsheet(
    connection: sa.Connection, payout_id: int, code: str, organisation: Organisation
) -> Iterator[Sequence[str]]:
    """Return every line of a payout for a spreadsheet program, the columns first."""
    yield _COLUMNS
    for found in listing.every_line(connection, payout_id):
        minors = (found.gross_minor, found.fee_minor, found.net_minor)
        yield (
            clock.local_date(found.moved_at, organisation.time_zone).isoformat(),
            plain_cell(found.remote_id),
            plain_cell(found.kind),
            plain_cell(found.category),
            plain_cell(found.source_id or ""),
            "" if found.gift_id is None else str(found.gift_id),
            plain_cell(found.receipt or ""),
            *(str(Money(minor, code).decimal) for minor in minors),
            code,
            plain_cell(found.concern or ""),
        )


def day(when: date, organisation: Organisation) -> str:
    """Say a date as the organisation writes it."""
    return format_date(when, "medium", locale=organisation.locale)


def _gift_link(gift_id: int | None, receipt: str | None) -> str | None:
    if gift_id is None:
        return None
    return Markup('<a href="/staff/gifts/{}">{}</a>').format(gift_id, receipt or f"Gift {gift_id}")


def _verdict(payout: Payout) -> tuple[str, str]:
    """Say whether a payout agrees with our books, and in which tone."""
    if payout.concern is not None:
        return "Needs a look", "danger"
    if payout.agrees:
        return "Agrees", "success"
    if not payout.automatic:
        return "Made by hand", "quiet"
    return "Not listed yet", "quiet"
