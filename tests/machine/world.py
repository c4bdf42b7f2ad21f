"""One organisation, its donors, their banks and Stripe: everything that can happen, by name.

Each act is one that a person, a bank, Stripe or bad luck does to the real application, which talks
to the real sandbox. Numbers choose among what there is, so that any sequence of acts makes sense.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import requests
import sqlalchemy as sa
import time_machine

from donorportal import clock, worker
from donorportal.app import create_app
from donorportal.db import db, reading_session, writing_session
from donorportal.giving.models import Gift, GiftStatus, RecurringGift
from donorportal.giving.partner import asking as changes
from donorportal.giving.partner import doing
from donorportal.giving.partner.asking import AlreadyEnded, AnotherUnderWay
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.wishes import Wish
from donorportal.giving.returns.asking import (
    RefundRefused,
    ask_refund,
    carry_out,
    give_up,
    settle_refund,
)
from donorportal.giving.starting import base_data
from donorportal.jobs.models import Job, JobState, Queue
from donorportal.jobs.running import drain
from donorportal.money import CURRENCIES, Money
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable
from tests.machine.crashing import Crash, CrashPoint, PostOffice, ShakyGateway
from tests.machine.stripes_side import StripesSide
from tests.portal_in_process import Portal, settings_for
from tests.sandboxproc import SandboxProcess

GOOD_CARD = "4242424242424242"
DESIGNATIONS = ("where-needed-most", "rescue")
CALLS = (
    "POST /v1/checkout/sessions",
    "GET /v1/checkout/sessions/",
    "GET /v1/payment_intents/",
    "GET /v1/subscriptions/",
    "POST /v1/subscriptions/",
    "GET /v1/invoices/",
    "POST /v1/refunds",
)
"""What can fail; the lists that this test reads itself are left alone."""
_TRIES = 5
_LIVE = {"active", "past_due", "trialing", "unpaid"}


@dataclass
class World:
    """The application on one database, the sandbox, and a clock that both share."""

    portal: Portal
    traveller: time_machine.Traveller
    crash_point: CrashPoint
    gateway: ShakyGateway
    post_office: PostOffice
    landings: list[str] = field(default_factory=list)
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The rows of gifts as they were when the donor was sent to pay."""

    # What donors do.

    def give(
        self,
        minor: int = 5000,
        currency: str = "USD",
        *,
        monthly: bool = False,
        card: str = GOOD_CARD,
        tries: int = 1,
        debit: bool = False,
    ) -> str | None:
        """Send one form so many times and pay; return where the donor lands, None if declined."""
        least = CURRENCIES[currency].minimum
        form = self.portal.form(
            amount=_typed(_part(max(minor, least), 100, currency), currency),
            currency=currency,
            frequency="monthly" if monthly else "once",
            designation=DESIGNATIONS[minor % 2],
            email=f"donor-{minor % 5}@example.org",
        )
        pages = {self._until_led_on(form) for _ in range(tries)}
        assert len(pages) == 1, "the same form led to several pages"
        self._keep_asked()
        method = "us_bank_account" if debit else "card"
        paid = self.sandbox.pay(pages.pop(), card=card, method=method)
        if paid.status_code != 303:
            return None
        self.landings.append(str(paid.headers["Location"]))
        return self.landings[-1]

    def land(self, number: int) -> None:
        """Open a thank-you page (again)."""
        if self.landings:
            with self.surviving():
                assert self.portal.land(_among(self.landings, number)).status_code < 500

    def change(
        self,
        number: int,
        action: Action,
        *,
        minor: int = 0,
        days: int = 30,
        key: str | None = None,
    ) -> None:
        """Ask for a change of a monthly gift, as its page does."""
        gifts = self.portal.scalars(
            sa.select(RecurringGift).where(RecurringGift.remote_id.is_not(None))
        )
        if not gifts:
            return
        gift: RecurringGift = _among(gifts, number)
        moment = (clock.now() + timedelta(days=days)).replace(microsecond=0)
        wish = {
            Action.AMOUNT: Wish(
                action=Action.AMOUNT,
                amount=Money(minor * CURRENCIES[gift.currency].step, gift.currency),
            ),
            Action.PAUSE: Wish(action=Action.PAUSE, at=moment),
            Action.SKIP: Wish(action=Action.SKIP, at=moment),
        }.get(action, Wish(action=action))
        transaction = partial(writing_session, self.portal.engine)
        form = UUID(key) if key else uuid4()
        with self.surviving():
            try:
                with transaction() as session:
                    asked = changes.ask(session, gift.id, wish, key=form, actor="donor:1")
            except (AlreadyEnded, AnotherUnderWay):
                return
            doing.do(transaction, self.gateway, asked, self.portal.settings)

    # What staff do.

    def refund(
        self, number: int, percent: int = 100, *, times: int = 1, key: str | None = None
    ) -> None:
        """Ask for a refund of a part of a gift, sending the same form so many times."""
        gifts = self.portal.scalars(
            sa.select(Gift).where(Gift.status == GiftStatus.RECEIVED).order_by(Gift.id)
        )
        if not gifts:
            return
        gift: Gift = _among(gifts, number)
        form = UUID(key) if key else uuid4()
        for _ in range(times):
            with self.surviving():
                self._refund(gift, form, _part(gift.amount_minor, percent, gift.currency))

    def _refund(self, gift: Gift, key: UUID, minor: int) -> None:
        transaction = partial(writing_session, self.portal.engine)
        try:
            with transaction() as session:
                asked = ask_refund(
                    session,
                    gift.id,
                    Money(minor, gift.currency),
                    key=key,
                    actor="staff:1",
                    reason="a test",
                )
            seen = carry_out(self.gateway, asked)
        except (RefundRefused, GatewayUnavailable):
            return
        except GatewayRejected as rejected:
            with transaction() as session:
                give_up(session, asked, str(rejected))
            return
        with transaction() as session:
            settle_refund(session, asked, seen, settings=self.portal.settings)

    def refund_in_dashboard(self, number: int, percent: int = 100) -> None:
        """Send money back at Stripe, past us."""
        charges = self.stripes.charges
        if charges:
            charge = _among(charges, number)
            minor = _part(charge["amount"], percent, charge["currency"].upper())
            # Stripe may refuse it, or not answer; whoever sits there sees that.
            with suppress(requests.RequestException):
                requests.post(
                    f"{self.sandbox.url}/v1/refunds",
                    data={"charge": charge["id"], "amount": minor},
                    auth=("sk_test_dashboard", ""),
                    timeout=30,
                )

    # What banks and Stripe do.

    def let_time_pass(self, days: int = 0, seconds: int = 0) -> None:
        """Move the clock of everybody."""
        self.sandbox.advance(seconds=days * 86_400 + seconds)
        self.traveller.shift(timedelta(days=days, seconds=seconds))

    def choose_outcome(self, number: int, outcome: str | None) -> None:
        """Let the later charges of a saved card be declined, or not any more."""
        live = [one for one in self.stripes.subscriptions if one["status"] in _LIVE]
        if live:
            card = _among(live, number)["default_payment_method"]
            self.sandbox.post("card-outcomes", payment_method=card, outcome=outcome)

    def settle_refund(self, number: int, outcome: str) -> None:
        """Let a refund end well, or come back, weeks later too."""
        may = {"succeeded": {"pending"}, "failed": {"pending", "succeeded"}}[outcome]
        refunds = [one for one in self.stripes.refunds if one["status"] in may]
        if refunds:
            self.sandbox.post(f"refunds/{_among(refunds, number)['id']}/settle", outcome=outcome)

    def dispute(self, number: int, percent: int = 100, *, inquiry: bool = False) -> None:
        """Let a bank dispute a charge or a part of it, or only ask about it."""
        disputed = {one["charge"] for one in self.stripes.disputes}
        charges = [
            one
            for one in self.stripes.charges
            if one["paid"] and one["id"] not in disputed and _is_card(one)
        ]
        if charges:
            charge = _among(charges, number)
            left = charge["amount"] - charge["amount_refunded"]
            if left:
                minor = max(1, left * percent // 100)
                self.sandbox.post("disputes", charge=charge["id"], amount=minor, warning=inquiry)

    def close_dispute(self, number: int, status: str, percent: int = 100) -> None:
        """Let a bank decide; of a dispute that is won only a part may come back."""
        open_ones = [
            one
            for one in self.stripes.disputes
            if one["status"] in {"needs_response", "warning_needs_response", "under_review"}
        ]
        if not open_ones:
            return
        dispute = _among(open_ones, number)
        if dispute["status"].startswith("warning"):
            self.sandbox.post(f"disputes/{dispute['id']}/close", status="warning_closed")
            return
        body: dict[str, Any] = {"status": status}
        if status == "won":
            body["amount"] = max(1, dispute["amount"] * percent // 100)
        self.sandbox.post(f"disputes/{dispute['id']}/close", **body)

    def settle_debit(self, outcome: str) -> None:
        """Let the oldest bank debit that is under way arrive, or not."""
        intents = self.sandbox.listed("payment_intents")
        under_way = [one for one in intents if one["status"] == "processing"]
        if under_way:
            self.sandbox.post("async", payment_intent=under_way[-1]["id"], outcome=outcome)

    def take_debit_back(self, how: str) -> None:
        """Let a bank take a debit back that had arrived."""
        debits = [
            one
            for one in self.stripes.charges
            if not _is_card(one)
            and one["paid"]
            and not one["disputed"]
            and not one["amount_refunded"]
        ]
        if debits:
            self.sandbox.post("returns", charge=debits[-1]["id"], how=how)

    def warn_of_fraud(self, number: int) -> None:
        """Send an early warning of fraud about a charge."""
        if self.stripes.charges:
            self.sandbox.post("fraud-warnings", charge=_among(self.stripes.charges, number)["id"])

    def pay_out(self, *, fails: bool = False, stays: bool = False) -> None:
        """Pay out everything that waits for it."""
        self.sandbox.post("payouts", fails=fails, stays=stays)

    def settle_payout(self, number: int, status: str) -> None:
        """Let a payout arrive, or come back from the bank."""
        may = {"paid": {"in_transit"}, "failed": {"in_transit", "paid"}}[status]
        payouts = [one for one in self.stripes.payouts if one["status"] in may]
        if payouts:
            payout = _among(payouts, number)
            self.sandbox.post(f"payouts/{payout['id']}/settle", status=status)

    # What reaches us, and what goes wrong.

    def deliver(self, number: int, *, times: int = 1) -> None:
        """Deliver any past event, whether it came before or not, and do what follows from it."""
        events = self.portal.events()
        if events:
            event = _among(events, number)
            for _ in range(times):
                self._hand_in(event)
            self.work()

    def deliver_new(self, *, backwards: bool = False, times: int = 1) -> None:
        """Deliver every event that was not delivered before."""
        new = [e for e in self.portal.events() if e["id"] not in self.portal.delivered]
        for event in new[:: -1 if backwards else 1]:
            for _ in range(times):
                self._hand_in(event)
        self.work()

    def _hand_in(self, event: dict[str, Any]) -> None:
        with self.surviving():
            assert self.portal.send(event).status_code == 200
            self.portal.delivered.add(event["id"])

    def crash(self, commits: int, *, after: bool) -> None:
        """Let whatever runs end at one of the next commits: just before it, or just after."""
        self.crash_point.arm(commits, after=after)

    def stripe_fault(self, kind: str, call: str, count: int) -> None:
        """Let a call to Stripe fail so many times; the SDK itself asks three times."""
        method, _, path = call.partition(" ")
        self.sandbox.fault(kind, method=method, path=path, count=count, seconds=0.01)

    def stay_silent(self, count: int) -> None:
        """Let the worker get no answer from Stripe so many times."""
        self.gateway.silent_for = count

    def defer_mails(self, count: int) -> None:
        """Let the mail relay put off so many mails."""
        self.post_office.deferring = count

    # How the application goes on.

    def work(self) -> None:
        """Do the queued work that is due."""
        tasks = worker.build_tasks(self.portal.settings, self.gateway, self.post_office)
        for queue in (*Queue, *Queue):
            with self.surviving():
                drain(self.portal.engine, tasks, queue=queue)

    def work_later(self) -> None:
        """Do the work of the clock as well, and what waits for a later time or a dead worker."""
        with self.surviving():
            worker.periodic(self.portal.engine).enqueue_due()
        self._skip_waiting()
        self.work()

    def come_to_rest(self) -> None:
        """Let all trouble be over and do everything that is left to do."""
        self.crash_point.countdown = self.gateway.silent_for = self.post_office.deferring = 0
        self.sandbox.knobs(faults=[])
        for _ in range(_TRIES):
            self.work_later()
            if not self.portal.scalars(sa.select(Job.id).where(Job.state == JobState.READY)):
                return
        left = self.portal.rows(sa.select(Job.task, Job.error).where(Job.state == JobState.READY))
        raise AssertionError(f"work is left: {left}")

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """Let the process end inside the block, and another one go on after it."""
        try:
            yield
        except Crash:
            with self.portal.app.app_context():
                db.session.remove()

    @property
    def sandbox(self) -> SandboxProcess:
        """The process that stands in for Stripe."""
        return self.portal.sandbox

    @property
    def stripes(self) -> StripesSide:
        """What Stripe says now."""
        return StripesSide(self.sandbox, self.portal.settings.organisation.time_zone)

    def _until_led_on(self, form: dict[str, Any]) -> str:
        """Send the form until it leads to a page; a crash or an outage is tried again."""
        for _ in range(_TRIES):
            with self.surviving():
                answer = self.portal.client().post("/give", data=form)
                if answer.status_code == 303:
                    return str(answer.location)
                assert answer.status_code == 503, f"the form was answered {answer.status_code}"
        raise AssertionError("the form led nowhere")

    def _keep_asked(self) -> None:
        """Remember new rows of gifts as they are before anything is paid."""
        for model in (RecurringGift, Gift):
            table = model.__table__
            known = self.asked.setdefault(model.__tablename__, [])
            last = max((row["id"] for row in known), default=0)
            with reading_session(self.portal.engine) as session:
                fresh = session.execute(
                    sa.select(table).where(table.c.id > last, table.c.status == "started")
                )
                known += [dict(row._mapping) for row in fresh]

    def _skip_waiting(self) -> None:
        with self.portal.engine.begin() as connection:
            connection.execute(
                sa.update(Job)
                .where(Job.state == JobState.READY)
                .values(run_at=Job.created_at, owner=None)
            )


@contextmanager
def opened(url: str, sandbox: SandboxProcess, *, balance: str | None = None) -> Iterator[World]:
    """Begin a world on an empty migrated database; the sandbox forgets all that was before."""
    sandbox.reset()
    sandbox.knobs(webhook_timing="never", balance_currency=balance, exchange_millionths=1_084_700)
    with time_machine.travel(time.time(), tick=True) as traveller, running(url, sandbox) as portal:
        portal.gateway.set_up(public_url="http://localhost:9", organisation="Open Door")
        with CrashPoint(portal.engine).watching() as crash_point:
            yield World(portal, traveller, crash_point, ShakyGateway(portal.gateway), PostOffice())


@contextmanager
def running(url: str, sandbox: SandboxProcess) -> Iterator[Portal]:
    """Run the application on a migrated database until the block ends."""
    settings = settings_for(
        url,
        sandbox,
        ORGANISATION_CURRENCIES="USD,JPY,KWD",
        STRIPE_PAYMENT_METHODS="card,us_bank_account",
    )
    app = create_app(settings)
    portal = Portal(app, settings, sandbox, app.extensions["gateway"])
    with writing_session(portal.engine) as session:
        base_data(session)
    try:
        yield portal
    finally:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


def _among(things: list[Any], number: int) -> Any:
    return things[number % len(things)]


def _part(minor: int, percent: int, currency: str) -> int:
    step = CURRENCIES[currency].step
    return max(step, minor * percent // 100 // step * step)


def _typed(minor: int, currency: str) -> str:
    unit = CURRENCIES[currency].unit
    if unit == 1:
        return str(minor)
    return f"{minor // unit}.{minor % unit:0{CURRENCIES[currency].exponent}d}"


def _is_card(charge: dict[str, Any]) -> bool:
    return bool(charge["payment_method_details"]["type"] == "card")


Act = Callable[[World], object]
