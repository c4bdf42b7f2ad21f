"""The check of the books finds each way in which what went back could be told wrongly."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from donorportal.db import writing_session
from donorportal.giving import books
from donorportal.giving.models import Gift
from donorportal.giving.returns.models import DisputeMovement, DisputeRecord, Refund, RefundStatus
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.money import Money
from tests.portal_in_process import Portal
from tests.returns.happenings import disputed, given, refund

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


@pytest.fixture
def told(portal: Portal) -> Iterator[Portal]:
    """A gift with a refund and an open dispute; the books are put right after each test."""
    gift = given(portal)
    refund(portal, gift, 2000)
    disputed(portal, gift, amount=1000)
    portal.send_all()
    with portal.engine.connect() as connection:
        assert [] == books.violations(connection)
    yield portal
    with portal.engine.begin() as connection:
        connection.execute(sa.update(Gift).values(refunded_minor=2000, lost_minor=0))
        connection.execute(sa.update(Refund).values(status="succeeded", amount_minor=2000))
        connection.execute(sa.update(DisputeRecord).values(cleared_minor=0, status="open"))
        connection.execute(sa.update(DisputeMovement).values(amount_minor=-1000))


@pytest.mark.parametrize(
    ("wrong", "finding"),
    [
        (sa.update(Gift).values(refunded_minor=1999), "what went back does not add up"),
        (sa.update(Gift).values(lost_minor=1), "what went back does not add up"),
        (sa.update(Refund).values(amount_minor=2001), "is not so in the ledger"),
        (sa.update(Refund).values(status=RefundStatus.FAILED), "came back, but not in the ledger"),
        (sa.update(DisputeRecord).values(cleared_minor=1000), "does not add up"),
        (sa.update(DisputeRecord).values(status="lost"), "does not add up"),
        (sa.update(DisputeMovement).values(amount_minor=-999), "disputed:stripe is off by"),
    ],
)
def test_what_was_changed_behind_our_back_is_found(
    told: Portal, wrong: sa.Update, finding: str
) -> None:
    """A row that no longer says what the ledger does is named."""
    with told.engine.begin() as connection:
        connection.execute(wrong)
        found = books.violations(connection)

    assert [] != [line for line in found if finding in line]


def test_the_database_refuses_more_than_the_gift(told: Portal) -> None:
    """Invariant 4 holds whatever a program does."""
    with pytest.raises(sa.exc.IntegrityError), told.engine.begin() as connection:
        connection.execute(sa.update(Gift).values(refunded_minor=3000, lost_minor=2001))


@pytest.mark.parametrize("prefix", ["refund", "refund-failed"])
def test_an_entry_of_no_refund_is_found(portal: Portal, prefix: str) -> None:
    """Somebody posts the source of a refund that does not exist; a real one sets it right."""
    given(portal)
    source = f"{prefix}:re_nobody"
    with writing_session(portal.engine) as session:
        day = session.scalars(sa.select(Gift.given_on)).one()
        lines = move(Money(100, "USD"), debit=accounts.FEES, credit=accounts.CLEARING)
        assert day is not None
        post(session, source=source, effective_on=day, lines=lines)
        found = books.violations(session.connection())
        session.rollback()

    assert [] != [line for line in found if source in line]
