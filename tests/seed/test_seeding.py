"""The invented data set, on both databases."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import tune, writing_session
from donorportal.donors.addresses import parse_email
from donorportal.donors.matching import find_or_create
from donorportal.donors.models import Donor
from donorportal.giving import books, receipts
from donorportal.giving.models import Designation, Gift, RecurringGift
from donorportal.giving.seed_people import person
from donorportal.giving.seed_years import Years
from donorportal.giving.seeding import SeedRefused, SeedResult, seed
from donorportal.giving.starting import base_data
from donorportal.ledger.posting import move, post
from donorportal.money import Money

TODAY = date(2026, 11, 22)


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """Open the test's own database."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    yield engine
    engine.dispose()


def sown(engine: sa.Engine, donors: int = 150, gifts: int = 2000) -> SeedResult:
    """Fill the database with one data set."""
    return seed(engine, donors=donors, gifts=gifts, seed=7, today=TODAY)


def test_the_books_of_invented_gifts_balance(engine: sa.Engine) -> None:
    """There are exactly as many donors and gifts as asked for, and every invariant holds."""
    stored: list[int] = []
    result = seed(engine, donors=150, gifts=2000, seed=7, today=TODAY, progress=stored.append)

    with engine.connect() as connection:
        counts = [
            connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (Donor, Gift, RecurringGift)
        ]
        assert books.violations(connection) == []
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert counts == [150, 2000, result.monthly_gifts]
    assert sum(stored) == 2000
    assert result.refunds > 0


def test_the_same_seed_tells_the_same_story() -> None:
    """The same numbers and date make the same rows; another seed makes others."""
    first, again, other = (
        list(Years(donors=40, gifts=600, seed=number, today=TODAY).chunks(100))
        for number in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_giving_looks_like_giving(engine: sa.Engine) -> None:
    """It grows, peaks in December, stops yesterday, and has every status and several currencies."""
    sown(engine, 600, 12_000)

    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(Gift.status, Gift.currency, Gift.given_on, Gift.recurring_gift_id)
        ).all()
    days = [row.given_on for row in rows if row.given_on]
    of_2025 = [day.month for day in days if day.year == 2025]
    assert {row.status for row in rows} == {"received", "failed", "abandoned", "pledged"}
    assert {row.currency for row in rows} == {"USD", "GBP", "EUR", "DOP", "JPY"}
    assert max(of_2025, key=of_2025.count) == 12
    assert sum(day.year == 2025 for day in days) > 1.5 * sum(day.year == 2021 for day in days)
    assert TODAY - timedelta(days=7) < max(days) < TODAY
    assert 0.25 < sum(row.recurring_gift_id is not None for row in rows) / len(rows) < 0.55


def test_monthly_gifts_are_charged_on_their_day(engine: sa.Engine) -> None:
    """A monthly gift is charged once a month; one that stands has a next date."""
    sown(engine, 600, 12_000)

    with engine.connect() as connection:
        charges = connection.execute(
            sa.select(Gift.recurring_gift_id, Gift.received_at).where(Gift.recurring_gift_id > 0)
        ).all()
        monthly = connection.execute(
            sa.select(RecurringGift.status, RecurringGift.next_on, RecurringGift.ended_at)
        ).all()
    months = [(number, f"{at:%Y-%m}") for number, at in charges]
    assert len(set(months)) == len(months)
    assert {"active", "ended"} <= {status for status, _, _ in monthly}
    for status, next_on, ended_at in monthly:
        assert (next_on is not None) == (status in {"active", "past_due"})
        assert (ended_at is not None) == (status == "ended")
        assert next_on is None or TODAY <= next_on < TODAY + timedelta(days=32)


def test_real_gifts_go_on_where_the_invented_ones_end(engine: sa.Engine) -> None:
    """Afterwards a gift gets the next id, the next receipt number and the next entry."""
    result = sown(engine)

    with writing_session(engine) as session:
        last = session.execute(sa.select(Gift).order_by(Gift.id.desc()).limit(1)).scalar_one()
        assert last.id == result.gifts
        pledged = session.scalars(
            sa.select(Gift).where(Gift.status != "received").order_by(Gift.id.desc()).limit(1)
        ).one()
        pledged.status, pledged.given_on, pledged.received_at = "received", TODAY, last.created_at
        pledged.donor_id, pledged.charge_remote_id = 1, "ch_next"
        serial = receipts.issue(session, pledged).serial
        lines = move(pledged.amount, debit="clearing:stripe", credit="gifts:rescue")
        post(session, source="charge:ch_next", effective_on=TODAY, lines=lines)
        newcomer = find_or_create(session, parse_email("new@example.org"), "")
        assert (serial > 1, newcomer) == (True, result.donors + 1)


def test_the_database_guards_its_history_afterwards(engine: sa.Engine) -> None:
    """Every index and trigger is there again, and refuses what would spoil the books."""
    before = _things(engine)
    refused = r"entry is closed|does not balance|append-only"
    sown(engine)

    assert before == _things(engine)
    for spoiling in (
        "INSERT INTO posting (entry_id, account, currency, amount_minor) VALUES (1, 'a', 'USD', 1)",
        "INSERT INTO entry VALUES (9999999, 'test:1', '2026-01-01', '2026-01-01', '{}')",
        "UPDATE posting SET amount_minor = 1 WHERE entry_id = 1",
        "DELETE FROM gift_event WHERE gift_id = 1",
    ):
        with (
            pytest.raises(sa.exc.DBAPIError, match=refused),
            engine.begin() as connection,
        ):
            connection.exec_driver_sql(spoiling)


def test_a_run_that_is_stopped_leaves_nothing(engine: sa.Engine) -> None:
    """Whoever stops it half-way finds no gifts, and every index where it was."""
    before = _things(engine)

    def stop(_written: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed(engine, donors=150, gifts=2000, seed=7, today=TODAY, progress=stop)

    assert before == _things(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Gift)) == 0
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert sown(engine).gifts == 2000


def _things(engine: sa.Engine) -> set[tuple[str, ...]]:
    """Return the indexes and triggers of a database."""
    if engine.dialect.name == "sqlite":
        query = "SELECT type, name, tbl_name FROM sqlite_master WHERE tbl_name <> 'sqlite_stat1'"
    else:
        query = (
            "SELECT 'index', indexname, tablename FROM pg_indexes WHERE schemaname = 'public'"
            " UNION SELECT 'trigger', tgname, tgenabled::text FROM pg_trigger"
        )
    with engine.connect() as connection:
        return {tuple(row) for row in connection.exec_driver_sql(query)}


def test_a_database_with_gifts_is_refused(engine: sa.Engine) -> None:
    """Invented gifts never mix with others, not even with those of an earlier run."""
    sown(engine, 3, 10)

    with pytest.raises(SeedRefused, match="already has rows in gift"):
        sown(engine, 3, 10)


def test_books_that_are_not_empty_are_refused(engine: sa.Engine) -> None:
    """Entries of somebody else's are left alone."""
    with writing_session(engine) as session:
        lines = move(Money(500, "USD"), debit="clearing:stripe", credit="fees:stripe")
        post(session, source="test:1", effective_on=TODAY, lines=lines)

    with pytest.raises(SeedRefused, match="already has rows in entry"):
        sown(engine, 3, 10)


@pytest.mark.parametrize(("donors", "gifts"), [(0, 0), (5, 0), (50, 20), (1, 300)])
def test_odd_sizes_work(engine: sa.Engine, donors: int, gifts: int) -> None:
    """Nothing, donors without gifts, and one donor with many gifts are fine."""
    result = sown(engine, donors, gifts)

    assert (result.donors, result.gifts) == (donors, gifts)


def test_gifts_need_a_donor(engine: sa.Engine) -> None:
    """Gifts without anybody to give them are refused, and nothing is written."""
    with pytest.raises(SeedRefused, match="at least one donor"):
        sown(engine, 0, 1)


def test_the_first_data_is_written_once(engine: sa.Engine) -> None:
    """Designations and topics that exist, also changed ones, are left alone."""
    with Session(engine) as session, session.begin():
        base_data(session)
        session.execute(
            sa.update(Designation).where(Designation.code == "rescue").values(name="Our rescue")
        )
        base_data(session)
        names = session.scalars(sa.select(Designation.name).order_by(Designation.position)).all()

    assert names == ["Where it is needed most", "Our rescue", "Aftercare", "Justice"]


def test_invented_people_cannot_be_reached() -> None:
    """Every address is a valid one of its own at a domain that is reserved for examples."""
    addresses = [person(number).email for number in range(0, 200_000, 13)]

    assert len(set(addresses)) == len(addresses)
    assert {address.partition("@")[2] for address in addresses} == {
        "example.org",
        "example.com",
        "example.net",
    }
    assert [address for address in addresses[:500] if parse_email(address).key != address] == []
