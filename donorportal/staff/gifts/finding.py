"""Finding gifts by what a donor or a bank statement says, and all that is known of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.donors.addresses import AddressRefused, parse_email
from donorportal.donors.models import Donor
from donorportal.giving.models import (
    Designation,
    Gift,
    GiftEvent,
    GiftStatus,
    Receipt,
    RecurringGift,
)
from donorportal.giving.returns.models import DisputeMovement, DisputeRecord, GiftTask, Refund
from donorportal.ledger.models import Entry, Posting

_MOST = 100
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing about a gift that waits for a person; `task_id` is None for the gift's own note."""

    gift: Gift
    text: str
    task_id: int | None
    due_at: Any


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is known of one gift."""

    gift: Gift
    designation: str
    receipt: str | None
    refunds: Sequence[Refund]
    disputes: Sequence[DisputeRecord]
    tasks: Sequence[GiftTask]
    events: Sequence[GiftEvent]
    entries: Sequence[tuple[Entry, Sequence[Posting]]]


def search(session: Session, words: str) -> list[Gift]:
    """Return the gifts that an address, a receipt's number, or an id of ours or Stripe's means.

    Attempts that never became a gift are not among them.
    """
    return list(
        session.scalars(
            sa.select(Gift)
            .where(Gift.id.in_(_ids(words.strip())))
            .where(Gift.status.not_in([GiftStatus.STARTED, GiftStatus.ABANDONED]))
            .order_by(Gift.id.desc())
            .limit(_MOST)
        )
    )


def waiting(session: Session) -> list[Waiting]:
    """Return what waits for a person: what has a deadline first, then the oldest."""
    tasks = session.execute(
        sa.select(GiftTask, Gift)
        .join(Gift, Gift.id == GiftTask.gift_id)
        .where(GiftTask.settled_at.is_(None))
        .order_by(GiftTask.id)
        .limit(_MOST)
    )
    looks = session.scalars(
        sa.select(Gift).where(Gift.needs_look.is_not(None)).order_by(Gift.id).limit(_MOST)
    )
    found = [Waiting(gift, task.text, task.id, task.due_at) for task, gift in tasks]
    found.sort(key=lambda one: (one.due_at is None, one.due_at or one.gift.created_at))
    return found + [Waiting(gift, gift.needs_look or "", None, None) for gift in looks]


def known(session: Session, gift_id: int) -> Known | None:
    """Return what is known of a gift, None if there is no such gift."""
    gift = session.get(Gift, gift_id) if gift_id <= _LARGEST_ID else None
    if gift is None:
        return None
    refunds = _of(session, Refund, gift)
    disputes = _of(session, DisputeRecord, gift)
    return Known(
        gift=gift,
        designation=session.get_one(Designation, gift.designation_code).name,
        receipt=session.scalar(sa.select(Receipt.number).where(Receipt.gift_id == gift.id)),
        refunds=refunds,
        disputes=disputes,
        tasks=_of(session, GiftTask, gift),
        events=_of(session, GiftEvent, gift),
        entries=_entries(session, _sources(session, gift, refunds, disputes)),
    )


def _ids(words: str) -> sa.Select[int]:
    """Select the ids of the gifts that *words* mean; each way there has an index."""
    if "@" in words:
        return _of_donor(words)
    if "_" in words:
        return _of_remote_id(words)
    if words.isascii() and words.isdigit() and int(words) <= _LARGEST_ID:
        return sa.select(Gift.id).where(Gift.id == int(words))
    return sa.select(Receipt.gift_id).where(Receipt.number == words.upper())


def _of_donor(words: str) -> sa.Select[int]:
    try:
        key = parse_email(words).key
    except AddressRefused:
        key = words
    return sa.select(Gift.id).join(Donor, Donor.id == Gift.donor_id).where(Donor.email_key == key)


def _of_remote_id(words: str) -> sa.Select[int]:
    monthly = sa.select(Gift.id).join(RecurringGift, RecurringGift.id == Gift.recurring_gift_id)
    ways = {
        "re": sa.select(Refund.gift_id).where(Refund.remote_id == words),
        "pyr": sa.select(Refund.gift_id).where(Refund.remote_id == words),
        "dp": sa.select(DisputeRecord.gift_id).where(DisputeRecord.remote_id == words),
        "du": sa.select(DisputeRecord.gift_id).where(DisputeRecord.remote_id == words),
        "sub": monthly.where(RecurringGift.remote_id == words),
        "ch": sa.select(Gift.id).where(Gift.charge_remote_id == words),
        "py": sa.select(Gift.id).where(Gift.charge_remote_id == words),
        "in": sa.select(Gift.id).where(Gift.invoice_remote_id == words),
        "cs": sa.select(Gift.id).where(Gift.checkout_remote_id == words),
    }
    by_payment = sa.select(Gift.id).where(Gift.payment_remote_id == words)
    return ways.get(words.partition("_")[0], by_payment)


def _of(session: Session, table: Any, gift: Gift) -> Sequence[Any]:
    found: Sequence[Any] = session.scalars(
        sa.select(table).where(table.gift_id == gift.id).order_by(table.id)
    ).all()
    return found


def _sources(
    session: Session, gift: Gift, refunds: Sequence[Refund], disputes: Sequence[DisputeRecord]
) -> list[str]:
    """Return the names under which a gift's entries can be found."""
    movements = session.scalars(
        sa.select(DisputeMovement.remote_id).where(
            DisputeMovement.dispute_id.in_([dispute.id for dispute in disputes])
        )
    ).all()
    transactions = [gift.balance_remote_id, *movements]
    sources = [f"charge:{gift.charge_remote_id}"]
    for refund in refunds:
        sources += [f"refund:{refund.remote_id}", f"refund-failed:{refund.remote_id}"]
        transactions += [refund.balance_remote_id, refund.failure_remote_id]
    for dispute in disputes:
        lost = f"dispute-lost:{dispute.remote_id}"
        sources += [lost, *(f"{lost}:{turn}" for turn in range(2, dispute.turns + 1))]
    for transaction in filter(None, transactions):
        sources += [f"{kind}:{transaction}" for kind in ("fee", "exchange", "dispute")]
    return sources


def _entries(session: Session, sources: list[str]) -> list[tuple[Entry, Sequence[Posting]]]:
    entries = session.scalars(
        sa.select(Entry).where(Entry.source.in_(sources)).order_by(Entry.id)
    ).all()
    lines: dict[int, list[Posting]] = {entry.id: [] for entry in entries}
    for posting in session.scalars(
        sa.select(Posting).where(Posting.entry_id.in_(lines)).order_by(Posting.id)
    ):
        lines[posting.entry_id].append(posting)
    return [(entry, lines[entry.id]) for entry in entries]
