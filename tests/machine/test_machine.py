# ruff: noqa: D102 - each rule is named for the act of the world that it does
"""The state machine: donors, banks, Stripe and bad luck in any order, against the real application.

``PROOF_EXAMPLES`` says how many histories are tried, ``PROOF_SEED`` which. A history that fails
is printed as a program of acts; the same acts then become a test of their own, like the tour.
"""

import os
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from donorportal.giving.partner.models import Action
from tests.machine import ends, proving
from tests.machine.conftest import Databases
from tests.machine.world import CALLS, World, opened
from tests.sandboxproc import SandboxProcess

_STEPS = 40
_EXAMPLES = int(os.environ.get("PROOF_EXAMPLES", "8"))
_SEED = int(os.environ.get("PROOF_SEED", "20261122"))

_any = st.integers(0, 30)
_percent = st.integers(1, 100)
_minor = st.integers(500, 60_000)
_count = st.integers(1, 3)
_cards = st.sampled_from(
    ["4242424242424242"] * 5
    + [
        "4000000000000002",  # declined
        "4000000000000341",  # declined when charged later
        "4000000000007726",  # its refunds are pending
        "4000000000005126",  # its refunds fail
        "4000000000000259",  # disputed at once
    ]
)
_faults = st.sampled_from(["500_before", "500_after", "429", "409", "timeout", "timeout_before"])


class Histories(RuleBasedStateMachine):
    """Acts in any order; after each the invariants hold, and in the end everybody agrees."""

    databases: ClassVar[Any]
    """`Databases`, as a static method."""
    sandbox: ClassVar[SandboxProcess]
    stories: ClassVar[list[int]]

    def __init__(self) -> None:
        super().__init__()
        self._opened: Any = None
        self.world: World
        self._steps = 0

    @initialize(balance=st.sampled_from([None, None, "usd"]))
    def begin(self, balance: str | None) -> None:
        self._opened = opened(self.databases(), self.sandbox, balance=balance)
        self.world = self._opened.__enter__()

    @rule(minor=_minor, currency=st.sampled_from(["USD", "JPY", "KWD"]), card=_cards, tries=_count)
    def give(self, minor: int, currency: str, card: str, tries: int) -> None:
        self.world.give(minor, currency, card=card, tries=tries)

    @rule(minor=_minor, currency=st.sampled_from(["USD", "JPY", "KWD"]), card=_cards)
    def give_monthly(self, minor: int, currency: str, card: str) -> None:
        self.world.give(minor, currency, monthly=True, card=card)

    @rule(minor=_minor, outcome=st.sampled_from(["succeeded", "failed"]))
    def give_by_debit(self, minor: int, outcome: str) -> None:
        self.world.give(minor, "USD", debit=True)
        self.world.settle_debit(outcome)

    @rule(how=st.sampled_from(["dispute", "failure"]))
    def take_debit_back(self, how: str) -> None:
        self.world.take_debit_back(how)

    @rule(number=_any)
    def land(self, number: int) -> None:
        self.world.land(number)

    @rule(days=st.sampled_from([1, 4, 9, 32]))
    def let_time_pass(self, days: int) -> None:
        self.world.let_time_pass(days=days)

    @rule(number=_any, outcome=st.sampled_from(["insufficient_funds", "expired_card", None]))
    def choose_outcome(self, number: int, outcome: str | None) -> None:
        self.world.choose_outcome(number, outcome)

    @rule(number=_any, minor=_minor)
    def change_amount(self, number: int, minor: int) -> None:
        self.world.change(number, Action.AMOUNT, minor=minor)

    @rule(
        number=_any,
        action=st.sampled_from([Action.PAUSE, Action.PAUSE, Action.RESUME, Action.END]),
        days=st.sampled_from([10, 40, 100]),
    )
    def change(self, number: int, action: Action, days: int) -> None:
        self.world.change(number, action, days=days)

    @rule(number=_any, percent=_percent, times=_count)
    def refund(self, number: int, percent: int, times: int) -> None:
        self.world.refund(number, percent, times=times)

    @rule(number=_any, percent=_percent)
    def refund_in_dashboard(self, number: int, percent: int) -> None:
        self.world.refund_in_dashboard(number, percent)

    @rule(number=_any, outcome=st.sampled_from(["succeeded", "failed"]))
    def settle_refund(self, number: int, outcome: str) -> None:
        self.world.settle_refund(number, outcome)

    @rule(number=_any, percent=_percent, inquiry=st.booleans())
    def dispute(self, number: int, percent: int, inquiry: bool) -> None:
        self.world.dispute(number, percent, inquiry=inquiry)

    @rule(number=_any, status=st.sampled_from(["won", "lost"]), percent=_percent)
    def close_dispute(self, number: int, status: str, percent: int) -> None:
        self.world.close_dispute(number, status, percent)

    @rule(number=_any)
    def warn_of_fraud(self, number: int) -> None:
        self.world.warn_of_fraud(number)

    @rule(how=st.sampled_from(["paid", "fails", "stays"]))
    def pay_out(self, how: str) -> None:
        self.world.pay_out(fails=how == "fails", stays=how == "stays")

    @rule(number=_any, status=st.sampled_from(["paid", "failed"]))
    def settle_payout(self, number: int, status: str) -> None:
        self.world.settle_payout(number, status)

    @rule(number=st.integers(0, 500), times=_count)
    def deliver(self, number: int, times: int) -> None:
        self.world.deliver(number, times=times)

    @rule(backwards=st.booleans(), times=_count)
    def deliver_new(self, backwards: bool, times: int) -> None:
        self.world.deliver_new(backwards=backwards, times=times)

    @rule(commits=st.integers(1, 6), after=st.booleans())
    def crash(self, commits: int, after: bool) -> None:
        self.world.crash(commits, after=after)

    @rule(kind=_faults, call=st.sampled_from(CALLS), count=st.integers(1, 4))
    def stripe_fault(self, kind: str, call: str, count: int) -> None:
        self.world.stripe_fault(kind, call, count)

    @rule(count=_count)
    def stay_silent(self, count: int) -> None:
        self.world.stay_silent(count)

    @rule(count=_count)
    def defer_mails(self, count: int) -> None:
        self.world.defer_mails(count)

    @rule()
    def work_later(self) -> None:
        self.world.work_later()

    @rule()
    def reconcile(self) -> None:
        ends.reconcile(self.world)

    @precondition(lambda self: self._opened is not None)
    @invariant()
    def holds(self) -> None:
        self._steps += 1
        assert [] == proving.always(self.world)

    def teardown(self) -> None:
        """Everything is delivered backwards and doubled, reconciled twice, and built anew."""
        if self._opened is None:
            return
        try:
            assert [] == ends.of(self.world, self.databases)
            self.stories.append(self._steps)
        finally:
            self._opened.__exit__(None, None, None)


@pytest.mark.parametrize("number", [_SEED])
def test_any_history_ends_in_the_books_of_stripe(
    databases: Databases,
    sandbox: SandboxProcess,
    number: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever happens in whatever order, the invariants hold and our books become Stripe's."""
    stories: list[int] = []
    machine = type(
        "Histories",
        (Histories,),
        {"databases": staticmethod(databases), "sandbox": sandbox, "stories": stories},
    )
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=_STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        ),
    )
    said = f"seed {number}, {len(stories)} histories, {sum(stories)} acts"
    record_property("proof", said)
    print(said)  # noqa: T201 - which histories were tried must be known to try them again
