"""From gifts to the bank: payouts are booked, listed line by line, and compared with our books."""

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.db import reading_session, writing_session
from donorportal.giving.models import Gift
from donorportal.giving.payouts import following
from donorportal.giving.payouts.matching import Booked, book_other, booked, concern_about
from donorportal.giving.payouts.models import Payout, PayoutLine
from donorportal.giving.settlement import settle
from donorportal.jobs.queueing import enqueue
from donorportal.ledger.balances import balances
from donorportal.ledger.models import Entry
from donorportal.money import Money
from donorportal.payments.payouts import BalanceLine
from donorportal.payments.returns import Movement
from tests.portal_in_process import Portal
from tests.stripeparams import open_session

_USD = "USD"


def _books(portal: Portal) -> dict[str, int]:
    """Return what the accounts hold in dollars, without those that hold nothing."""
    with reading_session(portal.engine) as session:
        held = balances(session)
    return {
        account: amount.minor
        for (account, code), amount in held.items()
        if code == _USD and amount.minor
    }


def _pay_out(portal: Portal, **how: Any) -> Any:
    return portal.sandbox.post("payouts", **how)["payouts"]


def _give(portal: Portal, *amounts: str) -> list[str]:
    """Give so many dollars each, and return the charges."""
    for number, amount in enumerate(amounts):
        portal.give(amount=amount, email=f"donor{number}@example.org")
    portal.send_all()
    return list(portal.scalars(sa.select(Gift.charge_remote_id).order_by(Gift.id)))


def test_gifts_arrive_at_the_bank(portal: Portal) -> None:
    """A payout of two gifts empties clearing, fills the bank, and each line knows its gift."""
    charges = _give(portal, "50", "100")

    [remote] = _pay_out(portal)
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    lines = portal.scalars(sa.select(PayoutLine).order_by(PayoutLine.gross_minor))
    assert ("paid", True, None) == (payout.status, payout.agrees, payout.concern)
    assert remote["amount"] == payout.amount_minor == payout.lines_minor
    assert [charges[0], charges[1]] == [line.source_id for line in lines]
    assert portal.scalars(sa.select(Gift.id).order_by(Gift.id)) == [line.gift_id for line in lines]
    books = _books(portal)
    assert payout.amount_minor == books["bank"]
    assert "clearing:stripe" not in books
    assert -15_000 == books["gifts:where-needed-most"]


def test_a_payout_with_refund_and_dispute_sums_to_the_deposit(portal: Portal) -> None:
    """Refunds, disputes and their fees are lines like gifts, and all of it adds up to the bank."""
    charges = _give(portal, "50", "100", "200")
    portal.sandbox.post("disputes", charge=charges[0])
    portal.send_all()
    _refund(portal, portal.sandbox.listed("charges")[0], 3000)
    portal.send_all()

    _pay_out(portal)
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    assert (True, None) == (payout.agrees, payout.concern)
    kinds = portal.scalars(sa.select(PayoutLine.kind).order_by(PayoutLine.kind))
    assert ["adjustment", "charge", "charge", "charge", "refund"] == kinds
    assert [] == portal.scalars(sa.select(PayoutLine.id).where(PayoutLine.gift_id.is_(None)))
    books = _books(portal)
    assert payout.amount_minor == books["bank"]
    assert "clearing:stripe" not in books


def test_a_payout_on_its_way_is_booked_when_it_leaves(portal: Portal) -> None:
    """Clearing follows Stripe's balance: the money has left it, whether or not it has arrived."""
    _give(portal, "50")
    [remote] = _pay_out(portal, stays=True)
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    assert ("in_transit", False, None) == (payout.status, payout.agrees, payout.lines_minor)
    assert payout.amount_minor == _books(portal)["bank"]

    portal.sandbox.post(f"payouts/{remote['id']}/settle", status="paid")
    portal.send_all()
    [payout] = portal.scalars(sa.select(Payout))
    assert ("paid", True) == (payout.status, payout.agrees)
    assert payout.amount_minor == _books(portal)["bank"]


@pytest.mark.parametrize("first", ["in transit", "after it was paid"])
def test_a_payout_that_comes_back_is_reversed(portal: Portal, first: str) -> None:
    """The bank ends with nothing, clearing holds the money again, and the next payout takes it."""
    _give(portal, "50")
    [remote] = _pay_out(portal, stays=first == "in transit")
    portal.send_all()
    portal.sandbox.post(f"payouts/{remote['id']}/settle", status="failed")
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    assert "It came back from the bank: account_closed." == payout.concern
    books = _books(portal)
    assert remote["amount"] == books["clearing:stripe"]
    assert "bank" not in books

    _pay_out(portal)
    portal.send_all()
    second = portal.scalars(sa.select(Payout).order_by(Payout.id))[1]
    assert (True, remote["amount"]) == (second.agrees, second.amount_minor)
    assert remote["amount"] == _books(portal)["bank"]


@pytest.mark.parametrize("seed", range(3))
def test_d6_payouts_in_any_order_any_number_of_times(portal: Portal, seed: int) -> None:
    """Every order, doubled and without half of the events, ends in the same books."""
    _give(portal, "50", "80")
    _pay_out(portal)
    _give(portal, "30")
    [failed] = _pay_out(portal, stays=True)
    portal.sandbox.post(f"payouts/{failed['id']}/settle", status="failed")
    events = portal.events("payout.")
    order = random.Random(seed)
    chosen = order.sample(events, len(events)) + order.sample(events, len(events) // 2)
    if seed:
        # Losing all but one event of each payout loses nothing.
        chosen = [order.choice(list(each)) for _, each in itertools.groupby(events, _object_of)]

    for event in chosen:
        assert 200 == portal.send(event).status_code
        portal.work()

    books = _books(portal)
    paid = sum(p["amount"] for p in portal.sandbox.listed("payouts") if p["status"] == "paid")
    assert paid == books["bank"]
    assert failed["amount"] == books["clearing:stripe"]
    sources = portal.scalars(sa.select(Entry.source).where(Entry.source.like("payout%")))
    assert 3 == len(sources)
    assert {None, "It came back from the bank: account_closed."} == set(
        portal.scalars(sa.select(Payout.concern))
    )


def _object_of(event: dict[str, Any]) -> str:
    return str(event["data"]["object"]["id"])


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_lines_are_read_page_by_page_and_once(portal: Portal) -> None:
    """A payout of more lines than a page holds is read with a call for each page, none twice."""
    _give(portal, "20", "30")
    for charge in portal.sandbox.listed("charges"):
        for _ in range(51):
            _refund(portal, charge, 10)
    _pay_out(portal)
    for event in portal.events("payout."):
        portal.send(event)
    portal.work()

    [payout] = portal.scalars(sa.select(Payout))
    lines = portal.scalars(sa.select(PayoutLine.net_minor))
    assert (True, None) == (payout.agrees, payout.concern)
    assert 104 == len(lines)
    assert payout.amount_minor == sum(lines)
    assert 2 == len(portal.sandbox.requests("GET", "/v1/balance_transactions"))
    # What was missing was asked for once for each gift, not once for each refund.
    assert 2 == len(portal.sandbox.requests("GET", "/v1/refunds/"))


def test_somebody_elses_charges_need_a_look(portal: Portal) -> None:
    """What another program took in the same account is listed as unknown, and never booked."""
    _give(portal, "50")
    session = open_session(portal.gateway._client)
    portal.sandbox.pay(str(session.url))
    [remote] = _pay_out(portal, currency="gbp")
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    assert remote["amount"] == payout.lines_minor
    assert (False, "1 line needs a look.") == (payout.agrees, payout.concern)
    assert ["It is not in our books."] == portal.scalars(sa.select(PayoutLine.concern))


def _refund(portal: Portal, charge: dict[str, Any], minor: int) -> None:
    """Refund a charge as staff do in Stripe's own dashboard."""
    portal.gateway._client.v1.refunds.create({"charge": charge["id"], "amount": minor})


def test_a_late_fee_is_filled_from_the_payout(portal: Portal) -> None:
    """A gift whose fee was unknown when it arrived gets it with the payout, if not before."""
    portal.sandbox.knobs(balance_pending=True)
    _give(portal, "50")
    assert "fees:stripe" not in _books(portal)
    portal.sandbox.advance(seconds=120)

    _pay_out(portal)
    for event in portal.events("payout."):
        portal.send(event)
    portal.work()

    [payout] = portal.scalars(sa.select(Payout))
    assert (True, None) == (payout.agrees, payout.concern)
    books = _books(portal)
    assert 175 == books["fees:stripe"]
    assert "clearing:stripe" not in books


def test_lost_webhooks_of_gifts_are_found_by_the_payout(portal: Portal) -> None:
    """A gift that no webhook told us of is booked when its payout lists it."""
    portal.give(amount="50")
    _pay_out(portal)
    for event in portal.events("payout."):
        portal.send(event)
    portal.work()

    assert ["received"] == portal.scalars(sa.select(Gift.status))
    assert [True] == [payout.agrees for payout in portal.scalars(sa.select(Payout))]


def test_another_balance_currency(portal: Portal) -> None:
    """Gifts in pounds that Stripe credits in dollars add up to a deposit in dollars."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_304_700)
    portal.give(amount="50", currency="GBP")
    portal.send_all()

    _pay_out(portal)
    portal.send_all()

    [payout] = portal.scalars(sa.select(Payout))
    assert ("USD", True, None) == (payout.currency, payout.agrees, payout.concern)
    assert payout.amount_minor == _books(portal)["bank"]
    assert "clearing:stripe" not in _books(portal)


def test_what_nobody_told_us_is_asked(portal: Portal) -> None:
    """A payout that should have arrived is asked about, until it has and is listed."""
    _give(portal, "50")
    [remote] = _pay_out(portal, stays=True)
    portal.send_all()
    portal.sandbox.post(f"payouts/{remote['id']}/settle", status="paid")
    with portal.engine.begin() as connection:
        late = clock.now().date().replace(year=2020)
        connection.execute(sa.update(Payout).values(arrives_on=late))

    with writing_session(portal.engine) as session:
        enqueue(session, following.FOLLOW_TASK)
    portal.work()

    assert [("paid", True)] == [(p.status, p.agrees) for p in portal.scalars(sa.select(Payout))]


def test_a_payout_that_did_not_agree_is_compared_again(portal: Portal) -> None:
    """What was missing and has come since ends the concern, without anybody doing anything."""
    _give(portal, "50")
    _pay_out(portal)
    portal.send_all()
    with portal.engine.begin() as connection:
        connection.execute(sa.update(PayoutLine).values(concern="It is not in our books."))
        connection.execute(sa.update(Payout).values(concern="1 line needs a look."))

    with writing_session(portal.engine) as session:
        enqueue(session, following.FOLLOW_TASK)
    portal.work()

    assert [None] == portal.scalars(sa.select(Payout.concern))
    assert [None] == portal.scalars(sa.select(PayoutLine.concern))


def test_live_and_test_mode_are_not_mixed(portal: Portal) -> None:
    """A payout of the other mode is put aside."""
    _give(portal, "50")
    [remote] = _pay_out(portal)
    seen = portal.gateway.observe(remote["id"])
    assert seen is not None
    assert seen.payout is not None
    live = replace(portal.settings, stripe_secret_key="sk_live_" + "1" * 24)

    with writing_session(portal.engine) as session:
        outcome = settle(session, seen, cause="a test", settings=live)

    assert "test and live mode are mixed up" == outcome.concern
    assert [] == portal.scalars(sa.select(Payout.id))


def _line(kind: str, minor: int, fee: int = 0, source: str | None = None) -> BalanceLine:
    movement = Movement(
        transaction_id=f"txn_{kind}",
        amount=Money(minor, _USD),
        fee=Money(fee, _USD),
        moved_at=clock.now(),
    )
    return BalanceLine(movement=movement, kind=kind, category=kind, source_id=source)


@pytest.mark.parametrize(
    ("line", "account", "concern"),
    [
        (_line("stripe_fee", -250), "fees:stripe", None),
        (_line("tax_fee", -50), "fees:stripe", None),
        (_line("topup", 10_000, source="tu_1"), "other:stripe:topup", None),
        (_line("reserve_hold", -700, 3), "other:stripe:reserve_hold", None),
        (_line("adjustment", 900), "other:stripe:adjustment", None),
        (
            _line("moon_fee", -9),
            "other:stripe:moon_fee",
            "We do not know what Stripe means by moon_fee.",
        ),
    ],
)
def test_what_belongs_to_no_gift_is_never_dropped(
    portal: Portal, line: BalanceLine, account: str, concern: str | None
) -> None:
    """Every other movement of the balance is posted to an account of its type, once."""
    with writing_session(portal.engine) as session:
        done = [book_other(session, line, settings=portal.settings) for _ in range(2)]
        found = booked(session, [line])

    assert [True, False] == done
    books = _books(portal)
    assert line.net.minor == books["clearing:stripe"]
    assert -line.movement.amount.minor == books[account]
    transaction = line.movement.transaction_id
    assert {transaction: Booked(line.net.minor, None)} == found
    assert concern == concern_about(line, found[transaction])


def test_a_gift_booked_with_another_amount_needs_a_look() -> None:
    """A line says so when our books have nothing for it, or something else."""
    line = _line("charge", 5000, 175, source="ch_1")

    assert "It is not in our books." == concern_about(line, None)
    assert "Our books have another amount." == concern_about(line, Booked(5000, 1))
    assert concern_about(line, Booked(4825, 1)) is None
