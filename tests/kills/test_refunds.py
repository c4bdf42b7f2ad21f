"""L5: kill -9 while money goes back, with Stripe's answer lost before and after it acted."""

import time
from uuid import uuid4

import pytest
import sqlalchemy as sa

from donorportal.db import writing_session
from donorportal.giving.models import Gift
from donorportal.giving.returns.asking import ask_refund
from donorportal.giving.returns.models import Refund
from donorportal.mail.models import OutboxMessage
from donorportal.money import Money
from tests.kills.books import come_to_rest
from tests.kills.patience import PatientDonor
from tests.live_site import LiveSite

_HUMAN_SECONDS = 1.1
# Longer than it takes to see that the moment has come, and to kill.
_HELD_SECONDS = 3


@pytest.mark.parametrize(("answer_lost", "made"), [("timeout_before", 0), ("timeout", 1)])
def test_l5_between_our_row_and_stripes_answer(
    eager: LiveSite, answer_lost: str, made: int
) -> None:
    """The refund is stored, Stripe has made none yet or just now, and the worker dies: one refund.

    The gift, the ledger, the row and the mail agree afterwards; each is there exactly once.
    """
    donor = PatientDonor(eager, 1)
    time.sleep(_HUMAN_SECONDS)
    donor.give()
    eager.finish_work()
    eager.sandbox.fault(answer_lost, method="POST", path="/v1/refunds", seconds=_HELD_SECONDS)
    with writing_session(eager.engine) as session:
        gift_id = session.scalars(sa.select(Gift.id)).one()
        ask_refund(
            session, gift_id, Money(2000, "USD"), key=uuid4(), actor="system", reason="a test"
        )
    eager.until(lambda: eager.sandbox.requests("POST", "/v1/refunds"), "Stripe to be asked")
    eager.until(lambda: len(eager.sandbox.listed("refunds")) == made, "the refund")
    standing = eager.scalar(sa.select(Refund.status))
    eager.kill()
    eager.sandbox.knobs(faults=[])
    eager.start()
    come_to_rest(eager)

    assert "asked" == standing
    assert 1 == len(eager.sandbox.listed("refunds"))
    assert [("succeeded", 2000)] == eager.rows(sa.select(Refund.status, Refund.amount_minor))
    assert 2000 == eager.scalar(sa.select(Gift.refunded_minor))
    assert 1 == eager.scalar(
        sa.select(sa.func.count(OutboxMessage.id)).where(OutboxMessage.kind == "refund-made")
    )
