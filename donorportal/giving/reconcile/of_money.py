"""Refunds, disputes, payouts and movements of the balance against our rows and the ledger."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving.models import Gift
from donorportal.giving.payouts.matching import is_settled_elsewhere, sources_of
from donorportal.giving.payouts.models import Payout
from donorportal.giving.reconcile.comparing import Found, Seen, Window, known, rows_by, say, unknown
from donorportal.giving.reconcile.kinds import Kind
from donorportal.giving.returns.models import DisputeRecord, Refund
from donorportal.ledger import accounts
from donorportal.ledger.models import Entry, Posting
from donorportal.money import Money
from donorportal.payments.listing import Listed
from donorportal.payments.payouts import BalanceLine

_DISPUTES = frozenset({"dp", "du"})


def refunds(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare refunds: each one of a gift of ours has a row of its amount and state."""
    columns = (Refund.gift_id, Refund.status, Refund.amount_minor, Refund.currency)
    rows = rows_by(session, Refund.remote_id, seen, *columns)
    for remote_id in unknown(seen):
        row = rows.get(remote_id)
        if row is not None:
            yield Found(Kind.REFUND_GONE, remote_id, "nothing", _row_says(row), row.gift_id)
    gifts = _gifts_of(session, seen)
    for refund in known(seen):
        row, there = rows.get(refund.remote_id), _says(refund)
        if row is None:
            gift_id = gifts.get(refund.payment_id)
            if gift_id is not None:
                yield _unseen(Kind.REFUND_UNSEEN, refund, gift_id)
        elif refund.amount is not None and refund.amount != Money(row.amount_minor, row.currency):
            says = _row_says(row)
            yield Found(Kind.REFUND_AMOUNT, refund.remote_id, there, says, row.gift_id)
        elif refund.state not in {"unknown", row.status}:
            says, look_at = _row_says(row), refund.remote_id
            yield Found(Kind.REFUND_STATUS, look_at, there, says, row.gift_id, look_at)


def refunds_missing(session: Session, window: Window, there: Seen) -> list[str]:
    """Return the refunds of the window that the list did not have."""
    rows = session.scalars(
        sa.select(Refund.remote_id).where(
            window.covers(Refund.created_at), Refund.remote_id.is_not(None)
        )
    )
    return [one for one in rows if one and one not in there and one.startswith(("re_", "pyr_"))]


def disputes(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare disputes: each one over a gift of ours has a row of its state."""
    columns = (
        *(DisputeRecord.gift_id, DisputeRecord.status),
        *(DisputeRecord.amount_minor, DisputeRecord.currency),
    )
    rows = rows_by(session, DisputeRecord.remote_id, seen, *columns)
    for remote_id in unknown(seen):
        row = rows.get(remote_id)
        if row is not None:
            yield Found(Kind.DISPUTE_GONE, remote_id, "nothing", _row_says(row), row.gift_id)
    gifts = _gifts_of(session, seen)
    for dispute in known(seen):
        row = rows.get(dispute.remote_id)
        if row is None:
            gift_id = gifts.get(dispute.payment_id)
            if gift_id is not None:
                yield _unseen(Kind.DISPUTE_UNSEEN, dispute, gift_id)
        elif dispute.state != row.status:
            says, look_at = _row_says(row), dispute.remote_id
            yield Found(Kind.DISPUTE_STATUS, look_at, _says(dispute), says, row.gift_id, look_at)


def payouts(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare payouts: each one has a row of its amount and state, and all of its lines."""
    columns = (
        *(Payout.status, Payout.amount_minor, Payout.currency),
        *(Payout.has_lines, Payout.lines_minor, Payout.failure),
    )
    rows = rows_by(session, Payout.remote_id, seen, *columns)
    for remote_id in unknown(seen):
        if remote_id in rows:
            yield Found(Kind.PAYOUT_GONE, remote_id, "nothing", _row_says(rows[remote_id]))
    for payout in known(seen):
        row = rows.get(payout.remote_id)
        if row is None:
            yield _unseen(Kind.PAYOUT_UNSEEN, payout, None)
        else:
            yield from _of_its_row(payout, row)


def payouts_missing(session: Session, window: Window, there: Seen) -> list[str]:
    """Return the payouts of the window that the list did not have."""
    rows = session.scalars(sa.select(Payout.remote_id).where(window.covers(Payout.created_at)))
    return [one for one in rows if one not in there and one.startswith("po_")]


def movements(session: Session, seen: Seen, _settings: Settings) -> Iterator[Found]:
    """Compare each change of our balance with the entries that belong to it."""
    lines = [one.line for one in known(seen) if one.line is not None]
    sources = {source for line in lines for source in sources_of(line)}
    entries = _entries(session, sources)
    foreign = _of_foreign_payments(session, lines, entries)
    for line in lines:
        if line.movement.transaction_id in foreign:
            continue
        its = {source: entries[source] for source in sources_of(line) if source in entries}
        code = line.net.currency
        booked = sum(minors.get(code, 0) for minors, _ in its.values())
        if booked != line.net.minor:
            gift_id = next((gift for _, gift in its.values() if gift is not None), None)
            yield _of_entries(line, its, Money(booked, code), gift_id)


def booked(session: Session, listed: Sequence[Listed]) -> Iterator[tuple[BalanceLine, int]]:
    """Yield each movement with what is booked of it, in minor units of its currency."""
    lines = [one.line for one in listed if one.line is not None]
    entries = _entries(session, {source for line in lines for source in sources_of(line)})
    for line in lines:
        its = (entries[source][0] for source in sources_of(line) if source in entries)
        yield line, sum(minors.get(line.net.currency, 0) for minors in its)


def _of_entries(
    line: BalanceLine, its: dict[str, Any], booked: Money, gift_id: int | None
) -> Found:
    """Say what is wrong with the entries of one movement."""
    transaction_id, code = line.movement.transaction_id, line.net.currency
    kind = Kind.BOOKED_WRONG
    fee = its.get(f"fee:{transaction_id}")
    fee_minor = fee[0].get(code, 0) if fee else 0
    if not its:
        kind = _missing(line)
    elif booked.minor - fee_minor == line.movement.amount.minor:
        # Everything is right but the fee.
        kind = Kind.FEE_WRONG if fee else Kind.FEE_MISSING
    elif not fee and is_settled_elsewhere(line):
        kind = Kind.FEE_MISSING  # And the exchange with it; booking it again adds both.
    says = f"{booked.exact()} by {', '.join(its)}" if its else "nothing"
    there = say(line.net.exact(), "by", line.kind, "fee", line.movement.fee.exact())
    look_at = line.source_id if is_settled_elsewhere(line) else None
    return Found(kind, transaction_id, there, say(says), gift_id, look_at)


def _missing(line: BalanceLine) -> Kind:
    if not is_settled_elsewhere(line):
        return Kind.NOT_BOOKED_OTHER
    is_dispute = (line.source_id or "").partition("_")[0] in _DISPUTES
    return Kind.DISPUTE_NOT_BOOKED if is_dispute else Kind.NOT_BOOKED


def _of_foreign_payments(
    session: Session, lines: list[BalanceLine], entries: dict[str, Any]
) -> set[str]:
    """Return the movements of payments that are no gift of ours: those are listed as such."""
    unbooked = [
        line
        for line in lines
        if line.kind in {"charge", "payment"}
        and not any(source in entries for source in sources_of(line))
    ]
    ours = rows_by(session, Gift.charge_remote_id, [line.source_id for line in unbooked], Gift.id)
    return {line.movement.transaction_id for line in unbooked if line.source_id not in ours}


def _entries(session: Session, sources: set[str]) -> dict[str, tuple[dict[str, int], int | None]]:
    """Return by how much entries changed clearing, in each currency, and for which gift."""
    clearing = sa.and_(Posting.entry_id == Entry.id, Posting.account == accounts.CLEARING)
    rows = session.execute(
        sa.select(Entry.source, Entry.detail, Posting.currency, Posting.amount_minor)
        .outerjoin(Posting, clearing)
        .where(Entry.source.in_(sources))
    )
    found: dict[str, tuple[dict[str, int], int | None]] = {}
    for source, detail, code, minor in rows:
        minors, _ = found.setdefault(source, ({}, detail.get("gift")))
        if code is not None:
            minors[code] = minors.get(code, 0) + int(minor)
    return found


def _of_its_row(payout: Listed, row: Any) -> Iterator[Found]:
    there, says, remote_id = _says(payout), _row_says(row), payout.remote_id
    if payout.amount is not None and payout.amount != Money(row.amount_minor, row.currency):
        yield Found(Kind.PAYOUT_AMOUNT, remote_id, there, says)
    elif payout.state != row.status:
        yield Found(Kind.PAYOUT_STATUS, remote_id, there, says, look_at=remote_id)
    elif row.has_lines and row.failure is None and row.lines_minor != row.amount_minor:
        read = "none" if row.lines_minor is None else Money(row.lines_minor, row.currency).exact()
        yield Found(Kind.PAYOUT_LINES, remote_id, there, f"lines of {read}", look_at=remote_id)


def _gifts_of(session: Session, seen: Seen) -> dict[str | None, int]:
    ids = [one.payment_id for one in known(seen)]
    rows = rows_by(session, Gift.payment_remote_id, ids, Gift.id)
    return {remote_id: row.id for remote_id, row in rows.items()}


def _unseen(kind: Kind, thing: Listed, gift_id: int | None) -> Found:
    return Found(kind, thing.remote_id, _says(thing), "nothing", gift_id, thing.remote_id)


def _says(thing: Listed) -> str:
    return say(thing.amount and thing.amount.exact(), thing.state)


def _row_says(row: Any) -> str:
    return say(Money(row.amount_minor, row.currency).exact(), row.status)
