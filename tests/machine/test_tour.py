"""A tour of everything that can happen, in one order: the state machine takes all the others."""

import pytest

from donorportal.giving.partner.models import Action
from tests.machine import proving
from tests.machine.conftest import Databases
from tests.machine.world import Act, opened
from tests.sandboxproc import SandboxProcess

_DECLINED = "4000000000000002"
_DECLINED_LATER = "4000000000000341"
TOUR: tuple[Act, ...] = (
    lambda world: world.give(5000),
    lambda world: world.give(3333, "KWD", tries=2),
    lambda world: world.give(1500, "JPY", card=_DECLINED),
    lambda world: world.give(2500, monthly=True),
    lambda world: world.land(0),
    lambda world: world.deliver(3, times=2),
    lambda world: world.deliver_new(),
    lambda world: world.change(0, Action.AMOUNT, minor=4000),
    lambda world: world.let_time_pass(days=32),
    lambda world: world.deliver_new(backwards=True, times=2),
    lambda world: world.refund(0, 40, times=2),
    lambda world: world.refund_in_dashboard(1, 50),
    lambda world: world.dispute(2),
    lambda world: world.deliver_new(),
    lambda world: world.close_dispute(0, "lost"),
    lambda world: world.pay_out(),
    lambda world: world.deliver_new(backwards=True),
    lambda world: world.settle_refund(0, "failed"),
    lambda world: world.settle_payout(0, "failed"),
    lambda world: world.change(0, Action.PAUSE, days=40),
    lambda world: world.let_time_pass(days=32),
    lambda world: world.deliver_new(),
    lambda world: world.give(7000, debit=True),
    lambda world: world.settle_debit("succeeded"),
    lambda world: world.take_debit_back("failure"),
    lambda world: world.crash(2, after=False),
    lambda world: world.deliver_new(),
    lambda world: world.warn_of_fraud(0),
    lambda world: world.change(0, Action.END),
    lambda world: world.work_later(),
    lambda world: world.pay_out(stays=True),
    lambda world: world.deliver_new(),
)


@pytest.mark.parametrize("balance", [None, "usd"])
def test_the_tour(databases: Databases, sandbox: SandboxProcess, balance: str | None) -> None:
    """After each act the invariants hold, and in the end our books are what Stripe says."""
    with opened(databases(), sandbox, balance=balance) as world:
        for number, act in enumerate(TOUR):
            act(world)
            assert [] == proving.always(world), f"after act {number}"
        world.deliver_new()
        world.come_to_rest()

        assert [] == proving.at_rest(world)
