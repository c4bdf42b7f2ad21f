"""Sums: what each day's movements come to, and what the payment service holds for us at the end.

Comparing object by object finds what the payment service has and we have not. What only we have
shows in the sums: where a day's movements and a day's entries do not come to the same, the entries
of that day are looked at one by one.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.models import Gift, GiftStatus, Receipt
from donorportal.giving.payouts.matching import sources_of
from donorportal.giving.reconcile import of_money
from donorportal.giving.reconcile.comparing import Found
from donorportal.giving.reconcile.desk import Desk
from donorportal.giving.reconcile.kinds import Kind
from donorportal.giving.reconcile.models import ReconcileDay, ReconcileRun
from donorportal.ledger import accounts, sums
from donorportal.ledger.models import Entry, Posting
from donorportal.money import Money
from donorportal.payments.gateway import Gateway
from donorportal.payments.listing import Listed, Thing

# Entries that are named for a movement, and of these the ones that touch nothing but our costs.
# Those that are named for a charge, a refund or a payout have a row, which is looked at itself.
_OF_MOVEMENTS = frozenset({"fee", "exchange", "dispute", "balance"})
_COSTS = frozenset({"fee", "balance"})
# What the demonstration invents, which no payment service knows.
_INVENTED = "%:seed\\_%"
_AT_ONCE = 500


def add_up(session: Session, movements: Sequence[Listed], settings: Settings) -> None:
    """Add movements to the sums of their days."""
    totals: dict[tuple[str, str], int] = {}
    for one in movements:
        if one.line is not None:
            day = clock.local_date(one.created_at, settings.organisation.time_zone).isoformat()
            key = (day, one.line.net.currency)
            totals[key] = totals.get(key, 0) + one.line.net.minor
    for (day, code), minor in totals.items():
        adding = upsert(session, ReconcileDay).values(day=day, currency=code, net_minor=minor)
        session.execute(
            adding.on_conflict_do_update(
                index_elements=["day", "currency"],
                set_={"net_minor": ReconcileDay.net_minor + adding.excluded.net_minor},
            )
        )


def day_begins(moment: datetime, settings: Settings) -> datetime:
    """Return when the day of *moment* began where the organisation is."""
    return _midnight(clock.local_date(moment, settings.organisation.time_zone), settings)


def odd_days(session: Session, run: ReconcileRun, settings: Settings) -> list[date]:
    """Return the days on which movements and entries do not come to the same."""
    zone = settings.organisation.time_zone
    entries = (
        sa.select(Entry.effective_on, Posting.currency, sa.func.sum(Posting.amount_minor))
        .join(Posting, Posting.entry_id == Entry.id)
        .where(Posting.account == accounts.CLEARING, Entry.source.not_like(_INVENTED, escape="\\"))
        .group_by(Entry.effective_on, Posting.currency)
    )
    movements = sa.select(ReconcileDay.day, ReconcileDay.currency, ReconcileDay.net_minor)
    if run.since is not None:
        entries = entries.where(Entry.effective_on >= clock.local_date(run.since, zone))
    if run.until is not None:
        # The last day is not over: whatever came after the end of the list is left out.
        last = clock.local_date(run.until, zone)
        entries = entries.where(Entry.effective_on < last)
        movements = movements.where(ReconcileDay.day < last.isoformat())
    off: dict[tuple[str, str], int] = {}
    for day, code, minor in session.execute(movements):
        off[day, code] = int(minor)
    for entered_on, code, minor in session.execute(entries):
        key = (entered_on.isoformat(), code)
        off[key] = off.get(key, 0) - int(minor)
    odd = {day for (day, _), minor in off.items() if minor}
    return [date.fromisoformat(day) for day in sorted(odd)]


def entries_of(desk: Desk, gateway: Gateway, settings: Settings, day: date) -> Iterator[Found]:
    """Find the entries of one day for which nothing happened at the payment service.

    Only the sources of this one day are held in memory.
    """
    known = set(_sources_of_day(gateway, settings, day))
    after = 0
    while True:
        with desk.reading() as session:
            entries = session.execute(_entries(day, after)).all()
        for entry in entries:
            if entry.source not in known and _is_unknown(gateway, entry.source):
                with desk.reading() as session:
                    if not _is_corrected(session, entry.source):
                        yield _orphan(entry)
        if len(entries) < _AT_ONCE:
            return
        after = entries[-1].id


def without_receipt(session: Session) -> list[Found]:
    """Find received gifts that have no receipt."""
    rows = session.execute(
        sa.select(Gift.id, Gift.public_id, Gift.amount_minor, Gift.currency)
        .outerjoin(Receipt, Receipt.gift_id == Gift.id)
        .where(Gift.status == GiftStatus.RECEIVED, Receipt.id.is_(None))
        .limit(_AT_ONCE)
    )
    return [
        Found(
            Kind.RECEIPT_MISSING,
            str(row.public_id),
            Money(row.amount_minor, row.currency).exact(),
            "no receipt",
            row.id,
        )
        for row in rows
    ]


def clearing(
    desk: Desk, gateway: Gateway, settings: Settings, *, until: datetime | None
) -> list[Found]:
    """Compare what the payment service holds for us with the clearing account, by currency.

    What moved after *until* and is not booked yet is on its way to us, and no difference. A second
    look tells a difference from a booking between the two questions.
    """
    found: list[Found] = []
    for _ in range(2):
        held = gateway.listing.balance()
        coming = _coming(desk, gateway, until) if until else {}
        with desk.reading() as session:
            ours = _clearing(session, settings)
        found = []
        for code in sorted(ours.keys() | held):
            theirs = held.get(code, Money(0, code)) - Money(coming.get(code, 0), code)
            booked = Money(ours.get(code, 0), code)
            if theirs != booked:
                found.append(Found(Kind.CLEARING, code, theirs.exact(), booked.exact()))
        if not found:
            break
    return found


def still_stands(session: Session, found: Found) -> bool:
    """Say whether a difference that is only about our own rows is still there."""
    if found.kind is Kind.RECEIPT_MISSING:
        lacking = sa.select(Gift.id).outerjoin(Receipt, Receipt.gift_id == Gift.id)
        lacking = lacking.where(Gift.id == found.gift_id, Receipt.id.is_(None))
        return session.scalar(lacking.where(Gift.status == GiftStatus.RECEIVED)) is not None
    if found.kind is Kind.CLEARING:
        return True  # Each comparison looks at it anew, at its end.
    is_there = session.scalar(sa.select(Entry.id).where(Entry.source == found.object_id))
    return is_there is not None and not _is_corrected(session, found.object_id)


def _sources_of_day(gateway: Gateway, settings: Settings, day: date) -> Iterator[str]:
    since = _midnight(day, settings)
    until = _midnight(day + timedelta(days=1), settings) - timedelta(seconds=1)
    after: str | None = None
    while True:
        page = gateway.listing.page(Thing.MOVEMENT, since=since, until=until, after=after)
        for one in page.listed:
            if one.line is not None:
                yield from sources_of(one.line)
        after = page.next_after
        if after is None:
            return


def _entries(day: date, after: int) -> sa.Select[int, str]:
    moved = sa.exists().where(Posting.entry_id == Entry.id, Posting.account == accounts.CLEARING)
    return (
        sa.select(Entry.id, Entry.source, Entry.detail)
        .where(Entry.effective_on == day, Entry.id > after, moved)
        .where(Entry.source.not_like(_INVENTED, escape="\\"))
        .order_by(Entry.id)
        .limit(_AT_ONCE)
    )


def _is_unknown(gateway: Gateway, source: str) -> bool:
    """Ask about one object; on the wrong day it is there, but not among those of the day."""
    name, _, remote_id = source.partition(":")
    return name in _OF_MOVEMENTS and gateway.listing.one(Thing.MOVEMENT, remote_id) is None


def _is_corrected(session: Session, source: str) -> bool:
    correction = sa.select(Entry.id).where(Entry.source == f"correction:{source}")
    return session.scalar(correction) is not None


def _orphan(entry: sa.Row[int, str]) -> Found:
    is_cost = entry.source.partition(":")[0] in _COSTS
    kind = Kind.COST_WITHOUT_MOVEMENT if is_cost else Kind.ENTRY_WITHOUT_MOVEMENT
    gift_id = entry.detail.get("gift")
    return Found(kind, entry.source, "nothing", f"entry {entry.id}", gift_id)


def _coming(desk: Desk, gateway: Gateway, since: datetime) -> dict[str, int]:
    """Return what has moved lately and is not booked, by currency."""
    coming: dict[str, int] = {}
    after: str | None = None
    while True:
        page = gateway.listing.page(Thing.MOVEMENT, since=since, after=after)
        with desk.reading() as session:
            for line, booked in of_money.booked(session, page.listed):
                code = line.net.currency
                coming[code] = coming.get(code, 0) + line.net.minor - booked
        after = page.next_after
        if after is None:
            return coming


def _clearing(session: Session, settings: Settings) -> dict[str, int]:
    totals = sums.totals(session.connection())
    held = {code: minor for (name, code), minor in totals.items() if name == accounts.CLEARING}
    if not settings.livemode:
        for code, minor in _invented(session).items():
            held[code] -= minor
    return held


def _invented(session: Session) -> dict[str, int]:
    rows = session.execute(
        sa.select(Posting.currency, sa.func.sum(Posting.amount_minor))
        .join(Entry, Entry.id == Posting.entry_id)
        .where(Posting.account == accounts.CLEARING, Entry.source.like(_INVENTED, escape="\\"))
        .group_by(Posting.currency)
    )
    return {code: int(minor) for code, minor in rows}


def _midnight(day: date, settings: Settings) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(settings.organisation.time_zone))
