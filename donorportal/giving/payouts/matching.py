"""Which entries of our books belong to a line of a payout, and what lines nobody else books."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.ledger import accounts
from donorportal.ledger.models import Entry, Posting
from donorportal.ledger.posting import Line, post
from donorportal.payments.payouts import BalanceLine

# What settlement books, by the prefix of the object that it follows from.
_BY_SOURCE = {
    "ch": ("charge",),
    "py": ("charge",),
    "re": ("refund",),
    "pyr": ("refund",),
    "po": ("payout-failed",),
}
_CAME_BACK = frozenset({"refund_failure", "failed_refund"})
# Entries that are named for the movement itself.
_BY_TRANSACTION = ("fee", "exchange", "dispute", "balance", "correction")
_SETTLED_KINDS = frozenset(
    {
        "charge",
        "payment",
        "refund",
        "payment_refund",
        "refund_failure",
        "payment_failure_refund",
        "payment_reversal",
        "adjustment",
        "payout",
        "payout_failure",
        "payout_cancel",
    }
)
_SETTLED_SOURCES = frozenset(_BY_SOURCE) | {"dp", "du"}
_FEES = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee"})
# Types that we know, and whose account an accountant reads once a year.
_OTHERS = frozenset(
    {
        "adjustment",
        "contribution",
        "fee_credit_funding",
        "payment_network_reserve_hold",
        "payment_network_reserve_release",
        "payout_minimum_balance_hold",
        "payout_minimum_balance_release",
        "reserve_hold",
        "reserve_release",
        "reserve_transaction",
        "reserved_funds",
        "stripe_balance_payment_debit",
        "stripe_balance_payment_debit_reversal",
        "topup",
        "topup_reversal",
    }
)


@dataclass(frozen=True, slots=True)
class Booked:
    """What our books hold about one line: by how much it changed clearing, and for which gift."""

    clearing_minor: int
    gift_id: int | None


def is_settled_elsewhere(line: BalanceLine) -> bool:
    """Say whether the line follows from something that settlement books, such as a gift."""
    prefix = (line.source_id or "").partition("_")[0]
    return line.kind in _SETTLED_KINDS and prefix in _SETTLED_SOURCES


def booked(session: Session, lines: Sequence[BalanceLine]) -> dict[str, Booked]:
    """Return what is booked of *lines* of one currency, by transaction; the rest is left out."""
    if not lines:
        return {}
    sources = {line.movement.transaction_id: sources_of(line) for line in lines}
    wanted = {source for each in sources.values() for source in each}
    clearing = sa.and_(
        Posting.entry_id == Entry.id,
        Posting.account == accounts.CLEARING,
        Posting.currency == lines[0].net.currency,
    )
    rows = session.execute(
        sa.select(Entry.source, Entry.detail, sa.func.coalesce(Posting.amount_minor, 0))
        .outerjoin(Posting, clearing)
        .where(Entry.source.in_(wanted))
    )
    entries = {source: (detail, int(minor)) for source, detail, minor in rows}
    found: dict[str, Booked] = {}
    for transaction_id, names in sources.items():
        its = [entries[name] for name in names if name in entries]
        if its:
            gifts = (detail["gift"] for detail, _ in its if "gift" in detail)
            found[transaction_id] = Booked(sum(minor for _, minor in its), next(gifts, None))
    return found


def concern_about(line: BalanceLine, found: Booked | None) -> str | None:
    """Return why a person should look at a line, or None."""
    if found is None:
        return None if not line.net.minor else "It is not in our books."
    if found.clearing_minor != line.net.minor:
        return "Our books have another amount."
    if not is_settled_elsewhere(line) and line.kind not in _FEES | _OTHERS:
        return f"We do not know what Stripe means by {line.kind[:60]}."
    return None


def book_other(session: Session, line: BalanceLine, *, settings: Settings) -> bool:
    """Post a movement that belongs to no gift; False if it was posted before, or was nothing.

    Fees are fees. Everything else goes to an account named for its type, where nothing is lost and
    an accountant decides what it is.
    """
    movement = line.movement
    account = accounts.FEES if line.kind in _FEES else accounts.other(line.kind)
    lines: dict[str, Line] = {}
    for name, amount in (
        (accounts.CLEARING, line.net),
        (account, -movement.amount),
        (accounts.FEES, movement.fee),
    ):
        before = lines.get(name)
        lines[name] = Line(name, before.amount + amount if before else amount)
    postings = [posting for posting in lines.values() if posting.amount.minor]
    if not postings:
        return False
    return post(
        session,
        source=f"balance:{movement.transaction_id}",
        effective_on=clock.local_date(movement.moved_at, settings.organisation.time_zone),
        lines=postings,
        detail={"kind": line.kind},
    )


def sources_of(line: BalanceLine) -> tuple[str, ...]:
    """Return the sources that the entries of a line can have, its correction included."""
    source_id = line.source_id or ""
    names = _BY_SOURCE.get(source_id.partition("_")[0], ())
    if names == ("charge",) and line.kind not in {"charge", "payment"}:
        names = ()  # The bank took it back, which is booked like a dispute.
    if names == ("refund",) and (line.kind in _CAME_BACK or line.category in _CAME_BACK):
        names = ("refund-failed",)
    if names == ("payout-failed",) and line.kind == "payout":
        names = ("payout",)
    of_source = (f"{name}:{source_id}" for name in names)
    of_transaction = (f"{name}:{line.movement.transaction_id}" for name in _BY_TRANSACTION)
    return (*of_source, *of_transaction)
