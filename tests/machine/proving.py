"""What must be true of our books at every moment, and what once they have heard of everything."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from donorportal.giving import books
from donorportal.giving.models import Gift, GiftStatus, Receipt, RecurringGift, RecurringStatus
from donorportal.giving.payouts.models import Payout
from donorportal.giving.returns.models import DisputeRecord, Refund
from donorportal.jobs.models import Job, JobState
from donorportal.ledger import sums
from donorportal.ledger.models import Entry, Posting
from donorportal.mail.models import OutboxMessage, OutboxState
from tests.machine.stripes_side import StripesSide, Sums, came_back
from tests.machine.world import World
from tests.portal_in_process import Portal

_LIVE = ("active", "past_due", "paused", "ended", "lapsed")


def always(world: World) -> list[str]:
    """Return a sentence for each thing that is wrong at this moment; the numbers are the plan's."""
    portal, stripes = world.portal, world.stripes
    with portal.engine.connect() as connection:
        found = [f"1 books: {one}" for one in books.violations(connection)]
        found += _sums_differ(connection)
    return [
        *found,
        *_gifts_that_nobody_gave(portal, stripes),
        *_mailed_twice(portal),
        *_more_back_than_given(stripes),
        *_doubled_refunds(stripes),
        *_balances_of_gifts(portal),
        *_mails_nobody_sends(portal),
        *_dead_work(portal),
    ]


def at_rest(world: World) -> list[str]:
    """Return a sentence for each way in which our books are not what Stripe says."""
    portal, stripes = world.portal, world.stripes
    return [
        *always(world),
        *_differ("2 gifts", _our_gifts(portal), stripes.gifts()),
        *_receipts_missing(portal, stripes),
        *_differ("4 refunds", _our_refunds(portal), stripes.refunded()),
        *_differ("5 accounts", _our_sums(portal), stripes.sums()),
        *_differ("7 monthly gifts", _our_plans(portal), stripes.plans()),
        *_differ("13 dates", _our_days(portal, stripes), stripes.entry_days()),
    ]


def state(portal: Portal) -> dict[str, Any]:
    """Return everything that follows from Stripe's side, by names that every database shares."""
    charge = dict(_rows(portal, Gift.id, Gift.charge_remote_id))
    lines: dict[str, set[Any]] = {}
    for source, day, *line in _rows(
        portal,
        Entry.source,
        Entry.effective_on,
        *(Posting.account, Posting.currency, Posting.amount_minor),
        where=Posting.entry_id == Entry.id,
    ):
        lines.setdefault(source, set()).add((day, *line))
    return {
        "gifts": set(
            _rows(
                portal,
                *(Gift.charge_remote_id, Gift.payment_remote_id, Gift.invoice_remote_id),
                *(Gift.status, Gift.amount_minor, Gift.currency, Gift.designation_code),
                *(Gift.given_on, Gift.refunded_minor, Gift.lost_minor),
                where=Gift.charge_remote_id.is_not(None),
            )
        ),
        "monthly gifts": set(
            _rows(
                portal,
                *(RecurringGift.public_id, RecurringGift.remote_id, RecurringGift.status),
                *(RecurringGift.amount_minor, RecurringGift.next_on, RecurringGift.ended_at),
                where=RecurringGift.remote_id.is_not(None),
            )
        ),
        "refunds": set(
            _rows(
                portal,
                *(Refund.remote_id, Refund.status, Refund.amount_minor, Refund.refunded_on),
                where=Refund.remote_id.is_not(None),
            )
        ),
        "disputes": set(
            _rows(
                portal,
                *(DisputeRecord.remote_id, DisputeRecord.status, DisputeRecord.lost_minor),
                *(DisputeRecord.excess_minor, DisputeRecord.opened_on),
            )
        ),
        "payouts": set(_rows(portal, Payout.remote_id, Payout.status, Payout.amount_minor)),
        "receipts": {charge[gift] for (gift,) in _rows(portal, Receipt.gift_id)},
        "entries": {source: frozenset(found) for source, found in lines.items()},
    }


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return a sentence for each part in which two states differ."""
    found = []
    for name, mine in ours.items():
        if mine != theirs[name]:
            odd = set(_flat(mine)) ^ set(_flat(theirs[name]))
            found.append(f"{name}: {sorted(map(str, odd))[:6]}")
    return found


def _flat(part: Any) -> list[Any]:
    return list(part.items()) if isinstance(part, dict) else list(part)


def _rows(portal: Portal, *columns: Any, where: Any = None) -> list[Any]:
    statement = sa.select(*columns)
    return [
        tuple(row) for row in portal.rows(statement if where is None else statement.where(where))
    ]


def _sums_differ(connection: sa.Connection) -> list[str]:
    """1: the maintained sums are what the postings add up to."""
    posted = connection.execute(
        sa.select(Posting.account, Posting.currency, sa.func.sum(Posting.amount_minor)).group_by(
            Posting.account, Posting.currency
        )
    )
    exact = {(account, code): int(minor) for account, code, minor in posted if minor}
    kept = {key: minor for key, minor in sums.totals(connection).items() if minor}
    return _differ("1 sums", kept, exact)


def _gifts_that_nobody_gave(portal: Portal, stripes: StripesSide) -> list[str]:
    """2: every gift is a real charge of the same amount, currency and day, and only once."""
    real = stripes.gifts()
    return [
        f"2 gift of {charge} is {facts}, Stripe has {real.get(charge)}"
        for charge, facts in _our_gifts(portal).items()
        if real.get(charge) != facts
    ]


def _mailed_twice(portal: Portal) -> list[str]:
    """3: no receipt is mailed under two keys."""
    mails = portal.scalars(
        sa.select(OutboxMessage.context).where(OutboxMessage.kind == "gift-receipt")
    )
    counted = Counter(context["receipt_number"] for context in mails)
    return [f"3 receipt {number} is mailed {n} times" for number, n in counted.items() if n > 1]


def _receipts_missing(portal: Portal, stripes: StripesSide) -> list[str]:
    """3: every gift has its receipt in the outbox, unless a person is to look at it first."""
    bounced = {one["id"] for one in stripes.charges if came_back(one)}
    wanted = {
        number
        for number, charge, look in _rows(
            portal,
            *(Receipt.number, Gift.charge_remote_id, Gift.needs_look),
            where=Receipt.gift_id == Gift.id,
        )
        if look is None and charge not in bounced
    }
    mailed = {
        context["receipt_number"]
        for context in portal.scalars(
            sa.select(OutboxMessage.context).where(OutboxMessage.kind == "gift-receipt")
        )
    }
    return [f"3 receipt {number} was not mailed" for number in sorted(wanted - mailed)]


def _more_back_than_given(stripes: StripesSide) -> list[str]:
    """4: what Stripe sends back of a charge is never more than the charge."""
    given = {charge: facts[0] for charge, facts in stripes.gifts().items()}
    return [
        f"4 {minor} of {given.get(charge, 0)} went back of {charge}"
        for charge, minor in stripes.refunded().items()
        if minor > given.get(charge, 0)
    ]


def _doubled_refunds(stripes: StripesSide) -> list[str]:
    """4: each refund of ours was made once, however often it was asked for."""
    counted = Counter(
        one["metadata"]["refund"] for one in stripes.refunds if "refund" in one["metadata"]
    )
    return [f"4 refund {key} was made {n} times" for key, n in counted.items() if n > 1]


def _balances_of_gifts(portal: Portal) -> list[str]:
    """9: the income in the ledger is what the gifts of all donors say is left of them."""
    left: Counter[tuple[str, str]] = Counter()
    for account, code, minor in _rows(
        portal,
        *(Gift.designation_code, Gift.currency),
        Gift.amount_minor - Gift.refunded_minor - Gift.lost_minor,
        where=Gift.status == GiftStatus.RECEIVED,
    ):
        left[f"gifts:{account}", code] -= minor
    posted: Counter[tuple[str, str]] = Counter()
    for account, code, minor in _rows(
        portal,
        *(Posting.account, Posting.currency, Posting.amount_minor),
        where=Posting.account.like("gifts:%"),
    ):
        posted[account, code] += minor
    return _differ("9 income", _without_zeros(posted), _without_zeros(left))


def _mails_nobody_sends(portal: Portal) -> list[str]:
    """11: every mail is queued with work to send it, or its end is known."""
    queued = set(
        portal.scalars(sa.select(OutboxMessage.id).where(OutboxMessage.state == OutboxState.QUEUED))
    )
    jobs = portal.scalars(
        sa.select(Job.args).where(Job.task == "mail.send", Job.state == JobState.READY)
    )
    lost = queued - {args["message"] for args in jobs}
    return [f"11 mail {message} is queued and nobody sends it" for message in sorted(lost)]


def _dead_work(portal: Portal) -> list[str]:
    dead = portal.rows(sa.select(Job.task, Job.error).where(Job.state == JobState.DEAD))
    return [f"work died: {task}: {error}" for task, error in dead]


def _our_gifts(portal: Portal) -> dict[str, Any]:
    return {
        charge: (minor, code, day)
        for charge, minor, code, day in _rows(
            portal,
            *(Gift.charge_remote_id, Gift.amount_minor, Gift.currency, Gift.given_on),
            where=Gift.status == GiftStatus.RECEIVED,
        )
    }


def _our_refunds(portal: Portal) -> dict[str, int]:
    rows = _rows(portal, Gift.charge_remote_id, Gift.refunded_minor, where=Gift.refunded_minor > 0)
    return dict(rows)


def _our_sums(portal: Portal) -> Sums:
    found: Counter[tuple[str, str]] = Counter()
    for account, code, minor in _rows(
        portal, Posting.account, Posting.currency, Posting.amount_minor
    ):
        kind = "gifts" if account.startswith("gifts:") else account
        if kind != "exchange:stripe":  # It is whatever the others leave.
            found[kind, code] += minor
    return _without_zeros(found)


def _our_plans(portal: Portal) -> dict[str, Any]:
    return {
        remote_id: (status, minor)
        for remote_id, status, minor in _rows(
            portal,
            *(RecurringGift.remote_id, RecurringGift.status, RecurringGift.amount_minor),
            where=sa.and_(
                RecurringGift.remote_id.is_not(None),
                RecurringGift.status != RecurringStatus.STARTED,
                RecurringGift.status != RecurringStatus.ABANDONED,
            ),
        )
    }


def _our_days(portal: Portal, stripes: StripesSide) -> dict[str, Any]:
    wanted = stripes.entry_days()
    rows = _rows(portal, Entry.source, Entry.effective_on)
    return {source: day for source, day in rows if source in wanted}


def _without_zeros(counted: Counter[Any]) -> dict[Any, int]:
    return {key: minor for key, minor in counted.items() if minor}


def _differ(what: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> list[str]:
    return [
        f"{what}: {key}: ours is {ours.get(key)}, it should be {theirs.get(key)}"
        for key in sorted({*ours, *theirs}, key=str)
        if ours.get(key) != theirs.get(key)
    ]
