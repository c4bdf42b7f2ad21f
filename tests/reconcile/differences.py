"""Making Stripe and our books differ, in every way that we have a name for."""

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from donorportal import clock
from donorportal.db import writing_session
from donorportal.giving.models import Gift, GiftStatus, Receipt, ReceiptSeries, RecurringGift
from donorportal.giving.payouts.models import Payout
from donorportal.giving.returns.models import Refund
from donorportal.giving.settlement import settle
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.money import Money
from donorportal.payments.gateway import Observation, Payment
from donorportal.payments.listing import Listed, Thing
from donorportal.payments.payouts import RemotePayout
from donorportal.payments.returns import Dispute, DisputeKind, DisputeState, RefundState, Returned
from tests.portal_in_process import Portal

_EIGHT = Money(800, "USD")


class Maker:
    """A portal at which things go wrong, one by one."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.sandbox = portal.sandbox
        self.number = 0
        # The application and the tests' worker offer bank debits, too.
        methods = ("card", "us_bank_account")
        portal.settings = replace(portal.settings, payment_methods=methods)
        portal.app.extensions["settings"] = portal.settings

    def gift(self, **fields: Any) -> Gift:
        """Let somebody give, and hear of it."""
        gift = self.unheard(**fields)
        self.portal.send_all()
        return self.read(gift)

    def unheard(
        self, *, method: str = "card", card: str = "4242424242424242", **fields: Any
    ) -> Gift:
        """Let somebody pay, of which nobody tells us."""
        self.number += 1
        answer = self.portal.post(email=f"donor{self.number}@example.org", **fields)
        assert answer.status_code == 303, answer.text
        self.sandbox.pay(answer.location, card, method=method)
        gift: Gift
        [gift] = self.portal.scalars(sa.select(Gift).order_by(Gift.id.desc()).limit(1))
        return gift

    def monthly(self, *, paid: bool = True, heard: bool = True) -> RecurringGift:
        """Let somebody begin to give every month."""
        self.number += 1
        answer = self.portal.post(
            email=f"donor{self.number}@example.org", frequency="monthly", amount="30"
        )
        if paid:
            self.sandbox.pay(answer.location)
        if heard:
            self.portal.send_all()
        newest = sa.select(RecurringGift).order_by(RecurringGift.id.desc()).limit(1)
        giver: RecurringGift
        [giver] = self.portal.scalars(newest)
        return giver

    def read(self, gift: Gift) -> Gift:
        """Return a gift as it is now."""
        now: Gift
        [now] = self.portal.scalars(sa.select(Gift).where(Gift.id == gift.id))
        return now

    def forget(self) -> None:
        """Let what happened so far never be told to us."""
        self.portal.delivered |= {event["id"] for event in self.portal.events()}

    def execute(self, statement: sa.Executable) -> None:
        """Change rows behind the program's back."""
        with self.portal.engine.begin() as connection:
            connection.execute(statement)

    def change(self, gift: Gift | RecurringGift, **values: Any) -> None:
        """Change a gift behind the program's back."""
        table = type(gift)
        self.execute(sa.update(table).where(table.id == gift.id).values(**values))

    def settle(self, seen: Observation) -> None:
        """Book something as if Stripe had said so."""
        with writing_session(self.portal.engine) as session:
            settle(session, seen, cause="test", settings=self.portal.settings)

    def post(self, source: str, amount: Money, account: str = accounts.FEES) -> None:
        """Write an entry of something that never was."""
        zone = self.portal.settings.organisation.time_zone
        with writing_session(self.portal.engine) as session:
            post(
                session,
                source=source,
                effective_on=clock.local_date(clock.now(), zone),
                lines=move(amount, debit=account, credit=accounts.CLEARING),
            )

    def stripe(self) -> Any:
        """Return Stripe as somebody else uses it, such as a colleague in the dashboard."""
        return self.portal.gateway._client.v1

    def foreign_page(self, mode: str) -> str:
        """Let a colleague make a page to pay on that has nothing to do with this site."""
        product = self.stripe().products.create({"name": "A ticket"})
        price: dict[str, Any] = {"currency": "usd", "unit_amount": 900, "product": product.id}
        if mode == "subscription":
            price["recurring"] = {"interval": "month"}
        page = self.stripe().checkout.sessions.create(
            {
                "mode": mode,
                "success_url": "http://localhost/",
                "line_items": [{"quantity": 1, "price_data": price}],
            }
        )
        return str(page.url)

    def charge(self, gift: Gift) -> Listed:
        """Return the newest charge at Stripe that carries the reference of a gift."""
        page = self.portal.gateway.listing.page(Thing.CHARGE)
        return next(one for one in page.listed if one.reference == str(gift.public_id))

    def refund(self, gift: Gift, minor: int = 1000) -> str:
        """Let a colleague refund part of a gift in Stripe's dashboard."""
        params = {"payment_intent": gift.payment_remote_id, "amount": minor}
        return str(self.stripe().refunds.create(params).id)

    def dispute(self, gift: Gift) -> str:
        """Let the donor's bank take a gift back."""
        return str(self.sandbox.post("disputes", charge=gift.charge_remote_id)["id"])

    def payment(self, gift: Gift, **more: Any) -> Payment:
        """Return what Stripe says about the payment of a gift, and *more* that it never said."""
        seen = self.portal.gateway.observe(gift.payment_remote_id or "")
        assert seen is not None
        assert seen.payment is not None
        return replace(seen.payment, **more)

    def invent_movement(self, kind: str, minor: int) -> str:
        """Let Stripe change our balance for a reason of its own."""
        name = f"txn_{kind}{minor}"
        with sqlite3.connect(self.sandbox.database, timeout=20) as file:
            query = "SELECT body FROM object WHERE kind = 'balance_transaction' LIMIT 1"
            body = json.loads(file.execute(query).fetchone()[0])
            body |= {"id": name, "type": kind, "reporting_category": "fee", "source": None}
            body |= {"amount": minor, "net": minor, "fee": 0, "fee_details": []}
            file.execute(
                "INSERT INTO object (id, kind, created, body) VALUES (?, ?, ?, ?)",
                (name, "balance_transaction", body["created"], json.dumps(body)),
            )
        file.close()
        return name


def make_all(make: Maker) -> None:
    """Let everything go wrong that we have a name for; what is left is for webhooks to tell."""
    _closed_page(make)
    _payouts(make)
    _payments(make)
    _monthly(make)
    _returns(make)
    _ledger(make)
    make.forget()


def put_right(make: Maker) -> None:
    """Do with the rows what a person would do with those that no rule can repair."""
    make.execute(sa.update(Gift).where(Gift.currency == "EUR").values(currency="USD"))
    make.execute(sa.update(Refund).where(Refund.amount_minor == 1001).values(amount_minor=1000))
    make.execute(
        sa.update(Payout)
        .where(Payout.amount_minor % 10 == 9, Payout.status == "paid")
        .values(amount_minor=Payout.amount_minor - 1)
    )


def _closed_page(make: Maker) -> None:
    make.portal.post(email="nobody@example.org")
    make.sandbox.advance(seconds=3 * 3600)
    make.forget()


def _payouts(make: Maker) -> None:
    """One of which nobody told us, one that has arrived, one whose lines we never read."""
    amounts = (40, 41, 42, 43)
    told = []
    for amount in amounts:
        make.gift(amount=str(amount))
        [payout] = make.sandbox.post("payouts", stays=amount == amounts[1])["payouts"]
        if amount == amounts[3]:
            make.forget()
        make.portal.send_all()
        told.append(payout)
    make.sandbox.post(f"payouts/{told[1]['id']}/settle", status="paid")
    make.forget()
    rows = {row.remote_id: row for row in make.portal.scalars(sa.select(Payout))}
    unread, wrong = rows[told[0]["id"]], rows[told[2]["id"]]
    make.execute(sa.update(Payout).where(Payout.id == unread.id).values(lines_minor=None))
    raised = wrong.amount_minor + 9 - wrong.amount_minor % 10
    assert raised == wrong.amount_minor + 1, "the fee makes it end in 8"
    make.execute(sa.update(Payout).where(Payout.id == wrong.id).values(amount_minor=raised))
    gone = RemotePayout(
        remote_id="po_gone",
        remote_state="in_transit",
        amount=_EIGHT,
        automatic=True,
        created_at=clock.now(),
        arrives_on=clock.now().date() + timedelta(days=1),
        failure=None,
        lines_known=False,
        movement=None,
        failure_movement=None,
        livemode=False,
    )
    make.settle(Observation(payout=gone))


def _payments(make: Maker) -> None:
    debit = make.unheard(method="us_bank_account", amount="21")
    make.portal.send_all()
    make.sandbox.post("async", payment_intent=make.read(debit).payment_remote_id, outcome="failed")
    make.forget()
    make.unheard(method="us_bank_account", amount="22")
    make.unheard(amount="23")
    make.forget()
    make.sandbox.pay(make.foreign_page("payment"))
    make.forget()

    template = make.gift(amount="24")
    one, two = make.gift(amount="25"), make.gift(amount="25")
    make.change(one, payment_remote_id=None)
    make.change(two, payment_remote_id=one.payment_remote_id)
    make.change(make.gift(amount="26"), amount_minor=2500)
    make.change(make.gift(amount="27"), currency="EUR")

    lost = make.unheard(amount="28")
    make.forget()
    payment_id = make.charge(lost).payment_id
    make.change(lost, status=GiftStatus.FAILED, payment_remote_id=payment_id)

    for name, card in (("ch_gone", ""), ("", "4000000000000002")):
        never = make.unheard(amount="29", card=card or "4242424242424242") if card else None
        if never is None:
            make.portal.post(email="never@example.org", amount="29")
            [never] = make.portal.scalars(sa.select(Gift).order_by(Gift.id.desc()).limit(1))
        make.forget()
        charge = name or make.charge(never).remote_id
        payment = make.payment(
            template,
            remote_id=f"pi_of_{charge}",
            charge_id=charge,
            reference=str(never.public_id),
            amount=Money(2900, "USD"),
            charged_at=clock.now(),
            fee=None,
        )
        make.settle(Observation(payment=payment))


def _monthly(make: Maker) -> None:
    make.monthly(heard=False)
    make.forget()
    make.sandbox.pay(make.foreign_page("subscription"))
    make.forget()
    heard = [make.monthly() for _ in range(3)]
    make.change(heard[0], status="paused")
    make.change(heard[1], amount_minor=2999)
    make.change(heard[2], next_on=clock.now().date() - timedelta(days=3))
    gone = make.monthly(paid=False)
    make.change(
        gone,
        status="active",
        remote_id="sub_gone",
        started_at=clock.now(),
        donor_id=heard[0].donor_id,
    )


def _returns(make: Maker) -> None:
    make.refund(make.gift(amount="31"))
    make.forget()
    other = make.gift(amount="32")
    refund_id = make.refund(other)
    make.portal.send_all()
    make.execute(sa.update(Refund).where(Refund.remote_id == refund_id).values(amount_minor=1001))
    failed = make.gift(amount="33")
    refund_id = make.refund(failed)
    make.portal.send_all()
    make.sandbox.post(f"refunds/{refund_id}/settle", outcome="failed")
    make.forget()

    make.dispute(make.gift(amount="34"))
    make.forget()
    dispute_id = make.dispute(make.gift(amount="35"))
    make.portal.send_all()
    make.sandbox.post(f"disputes/{dispute_id}/close", status="lost")
    make.forget()

    gift = make.gift(amount="36")
    refund = Returned(
        remote_id="re_gone",
        amount=_EIGHT,
        state=RefundState.SUCCEEDED,
        remote_state="succeeded",
        reason=None,
        failure=None,
        key=None,
        created_at=clock.now(),
        movement=None,
        failure_movement=None,
    )
    dispute = Dispute(
        remote_id="dp_gone",
        kind=DisputeKind.DISPUTE,
        state=DisputeState.OPEN,
        remote_state="needs_response",
        amount=_EIGHT,
        reason="fraudulent",
        opened_at=clock.now(),
        closed_at=None,
        respond_by=None,
        movements=(),
    )
    make.settle(Observation(payment=make.payment(gift, refunds=(refund,), disputes=(dispute,))))


def _ledger(make: Maker) -> None:
    make.sandbox.knobs(balance_pending=True)
    make.gift(amount="37")
    make.sandbox.advance(seconds=120)
    make.sandbox.knobs(balance_pending=False)
    make.forget()

    wrong = make.unheard(amount="38")
    make.post(f"fee:{make.charge(wrong).transaction_id}", Money(99, "USD"))
    make.portal.send_all()
    odd = make.gift(amount="39")
    make.post(f"exchange:{make.charge(odd).transaction_id}", Money(77, "USD"), accounts.EXCHANGE)
    make.post("fee:txn_gone", Money(66, "USD"))
    make.post("exchange:txn_gone", Money(55, "USD"), accounts.EXCHANGE)
    make.invent_movement("stripe_fee", -250)

    without = make.gift(amount="44")
    [receipt] = make.portal.scalars(sa.select(Receipt).where(Receipt.gift_id == without.id))
    make.execute(sa.delete(Receipt).where(Receipt.id == receipt.id))
    make.execute(
        sa.update(ReceiptSeries)
        .where(ReceiptSeries.year == receipt.year)
        .values(last_serial=receipt.serial - 1)
    )
