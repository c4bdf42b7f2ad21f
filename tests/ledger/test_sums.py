"""The sums of the accounts are what their postings add up to, at every moment."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from donorportal.db import tune, writing_session
from donorportal.ledger import check, sums
from donorportal.ledger.models import AccountSum, Entry, LedgerMark, Posting
from donorportal.ledger.posting import move, post
from donorportal.money import Money
from tests.test_query_plans import plan_of

_NOW = timedelta(0)
_ACCOUNTS = ("bank", "clearing:stripe", "fees:stripe", "gifts:aftercare")
_days = st.dates(min_value=date(2024, 11, 20), max_value=date(2025, 2, 10))
_moves = st.tuples(
    st.permutations(_ACCOUNTS), st.integers(1, 10**6), st.sampled_from(["USD", "JPY"]), _days
)


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """An engine on an empty database."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    yield engine
    engine.dispose()


def put(session: Session, source: str, minor: int = 100, *, on: date = date(2025, 1, 15)) -> None:
    """Post an amount from the gifts to clearing."""
    lines = move(Money(minor, "USD"), debit="clearing:stripe", credit="gifts:aftercare")
    post(session, source=source, effective_on=on, lines=lines)


def _by_scan(connection: sa.Connection, before: date | None = None) -> sums.Totals:
    query = sa.select(Posting.account, Posting.currency, sa.func.sum(Posting.amount_minor)).join(
        Entry, Entry.id == Posting.entry_id
    )
    if before is not None:
        query = query.where(Entry.effective_on < before)
    rows = connection.execute(query.group_by(Posting.account, Posting.currency))
    return {(account, code): int(total) for account, code, total in rows}


def _without_zero(totals: sums.Totals) -> sums.Totals:
    return {key: minor for key, minor in totals.items() if minor}


@given(steps=st.lists(st.one_of(st.just("roll"), _moves), max_size=14), before=_days)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_sums_and_scan_agree_whenever_the_sums_are_rolled(
    engine: sa.Engine, steps: list[object], before: date
) -> None:
    """Balances now and before any day equal a scan, however posting and rolling alternate."""
    with writing_session(engine) as session:
        number = int(session.scalar(sa.select(sa.func.count(Entry.id))) or 0)
    for step in steps:
        number += 1
        with writing_session(engine) as session:
            if isinstance(step, tuple):
                accounts, minor, code, day = step
                lines = move(Money(minor, code), debit=accounts[0], credit=accounts[1])
                post(session, source=f"test:{number}", effective_on=day, lines=lines)
            else:
                sums.roll(session, margin=_NOW, at_most=2)

    with engine.connect() as connection:
        assert _by_scan(connection) == sums.totals(connection)
        assert _without_zero(_by_scan(connection, before)) == _without_zero(
            sums.totals(connection, before=before)
        )
        assert [] == check.violations(connection)


def test_a_balance_reads_no_posting_that_is_in_the_sums(engine: sa.Engine) -> None:
    """After rolling, what is read of the postings is the range after the mark, by its index."""
    with writing_session(engine) as session:
        for number in range(40):
            put(session, f"test:{number}")
        assert not sums.roll(session, margin=_NOW)
        assert 40 == sums.read_mark(session.connection(), sums.SUMS)

    with Session(engine) as session:
        session.connection()
        if engine.dialect.name == "postgresql":
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        tail = sums._posted(Posting.entry_id > 40, before=None)
        plan = plan_of(session, lambda: session.execute(tail))
    assert "uq_posting_entry_id" in plan or "sqlite_autoindex_posting" in plan


def test_the_check_finds_a_sum_that_is_wrong(engine: sa.Engine) -> None:
    """Whatever makes a sum differ from its postings, the check says which one and by how much."""
    with writing_session(engine) as session:
        put(session, "test:1")
        sums.roll(session, margin=_NOW)
        session.execute(
            sa.update(AccountSum)
            .where(AccountSum.account == "clearing:stripe")
            .values(total_minor=AccountSum.total_minor + 7)
        )

    with engine.connect() as connection:
        found = check.violations(connection)
    with writing_session(engine) as session:
        session.execute(sa.delete(AccountSum))
        session.execute(sa.delete(LedgerMark))
    assert ["the sum of clearing:stripe in 2025-01 is off by 7 USD"] == found


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_the_mark_waits_for_a_transaction_that_is_still_open(engine: sa.Engine) -> None:
    """An entry that commits after entries with higher numbers is never left out of the sums."""
    with Session(engine) as slow:
        put(slow, "test:slow", 1)
        with writing_session(engine) as session:
            put(session, "test:quick", 2)
        with writing_session(engine) as session:
            sums.roll(session, margin=_NOW)
            assert 0 == sums.read_mark(session.connection(), sums.SUMS)
        slow.commit()

    with writing_session(engine) as session:
        sums.roll(session, margin=_NOW)
        assert 2 == sums.read_mark(session.connection(), sums.SUMS)
    with engine.connect() as connection:
        assert 3 == sums.totals(connection)["clearing:stripe", "USD"]
        assert [] == check.violations(connection)


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_many_post_while_the_sums_are_rolled(engine: sa.Engine) -> None:
    """Four writers and a roller at once: every balance in between is whole, and so is the end."""
    halves: list[int] = []

    def write(writer: int) -> None:
        for number in range(25):
            with writing_session(engine) as session:
                put(session, f"test:{writer}:{number}")

    with ThreadPoolExecutor(4) as writers:
        working = [writers.submit(write, writer) for writer in range(4)]
        while not all(each.done() for each in working):
            with writing_session(engine) as session:
                sums.roll(session, margin=_NOW, at_most=9)
            with engine.connect() as connection:
                halves.append(sum(sums.totals(connection).values()))
    assert [None] * 4 == [each.result() for each in working]
    with writing_session(engine) as session:
        while sums.roll(session, margin=_NOW):
            pass

    with engine.connect() as connection:
        assert {0} >= set(halves)
        assert 10_000 == sums.totals(connection)["clearing:stripe", "USD"]
        assert [] == check.violations(connection)


def test_entries_just_posted_wait_for_the_margin(engine: sa.Engine) -> None:
    """On PostgreSQL the sums leave the last minute alone; SQLite has nothing to wait for."""
    with writing_session(engine) as session:
        put(session, "test:1")
        sums.roll(session)

        mark = sums.read_mark(session.connection(), sums.SUMS)

    assert (1 if engine.dialect.name == "sqlite" else 0) == mark
