"""The journal balances, whatever is in the books and whatever happens while it is written."""

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from donorportal.db import snapshot, tune, writing_session
from donorportal.ledger import journal, sums
from donorportal.ledger.journal import Period, PeriodRefused
from donorportal.ledger.posting import Line, move, post
from donorportal.money import Money
from donorportal.spreadsheet import pieces, plain_cell
from tests.commands import run
from tests.portal_in_process import Portal

_ACCOUNTS = ("bank", "clearing:stripe", "fees:stripe", "gifts:aftercare", "=cmd|' /C calc'!A0")
_days = st.dates(min_value=date(2025, 1, 1), max_value=date(2025, 3, 31))
_moves = st.tuples(
    st.permutations(_ACCOUNTS),
    st.integers(1, 10**8),
    st.sampled_from(["USD", "JPY", "KWD"]),
    _days,
)


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """An engine on an empty database."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    yield engine
    engine.dispose()


def _read(rows: Iterator[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO("".join(rows))))


def _side(row: dict[str, str]) -> Decimal:
    return Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)


@given(
    entries=st.lists(_moves, max_size=12),
    days=st.tuples(_days, _days).map(sorted),
    rolled=st.booleans(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_journal_of_any_period_balances(
    engine: sa.Engine,
    entries: list[tuple[list[str], int, str, date]],
    days: list[date],
    rolled: bool,
) -> None:
    """Debits equal credits in each currency, and opening plus postings is closing."""
    with writing_session(engine) as session:
        number = sums.settled_through(session.connection(), margin=timedelta(0))
        for accounts, minor, code, day in entries:
            number += 1
            lines = move(Money(minor, code), debit=accounts[0], credit=accounts[1])
            post(session, source=f"test:{number}", effective_on=day, lines=lines)
    if rolled:
        with writing_session(engine) as session:
            sums.roll(session, margin=timedelta(0))

    with snapshot(engine) as connection:
        found = _read(pieces(journal.rows(connection, Period(days[0], days[1]))))
        after = sums.totals(connection, before=days[1] + timedelta(days=1))

    totals: dict[tuple[str, str, str], Decimal] = {}
    for row in found:
        key = (row["row"], row["account"], row["currency"])
        totals[key] = totals.get(key, Decimal(0)) + _side(row)
    assert {Decimal(0)} >= {total for (kind, _, _), total in totals.items() if kind == "total"}
    for account, code in after:
        name = plain_cell(account)
        opening, posted, closing = (
            totals.get((kind, name, code), Decimal(0)) for kind in ("opening", "posting", "closing")
        )
        assert opening + posted == closing == Money(after[account, code], code).decimal
    assert not [row for row in found for cell in row.values() if cell.startswith(("=", "+", "@"))]


def test_a_gift_that_arrives_meanwhile_is_not_in_the_journal(engine: sa.Engine) -> None:
    """The journal is one moment: what is posted while it is written belongs to the next one."""
    with writing_session(engine) as session:
        for number in range(3):
            _gift(session, number)
    with snapshot(engine) as connection:
        rows = journal.rows(connection, Period(date(2025, 1, 1), date(2025, 1, 31)))
        began = [next(rows), next(rows)]
        with writing_session(engine) as session:
            _gift(session, 3)
            sums.roll(session, margin=timedelta(0))
        whole = [dict(zip(journal.COLUMNS, row, strict=True)) for row in (*began[1:], *rows)]

    assert 6 == len([row for row in whole if row["row"] == "posting"])
    [total] = [row for row in whole if row["row"] == "total"]
    assert ("3.00", "3.00") == (total["debit"], total["credit"])
    assert {"3.00"} == {
        row["debit"] for row in whole if row["row"] == "closing" and row["account"] == "bank"
    }


def _gift(session: Session, number: int) -> None:
    lines = [Line("bank", Money(100, "USD")), Line("gifts:aftercare", Money(-100, "USD"))]
    post(session, source=f"test:{number}", effective_on=date(2025, 1, 15), lines=lines)


def test_the_days_must_be_in_order() -> None:
    """A period that ends before it begins is refused."""
    with pytest.raises(PeriodRefused):
        Period(date(2025, 2, 1), date(2025, 1, 1))


@pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
def test_the_command_writes_the_file(portal: Portal, tmp_path: Path) -> None:
    """Every posting of a real gift is in the file, with its receipt and its designation."""
    portal.give(amount="50", designation="aftercare")
    portal.send_all()
    target = tmp_path / "journal.csv"
    period = ("--from", "2020-01-01", "--to", "2040-01-01")

    done = run(portal, "ledger", "journal", *period, str(target))
    refused = run(portal, "ledger", "journal", "--from", "2040-01-01", "--to", "2020-01-01", "-")
    with snapshot(portal.engine) as connection:
        whole = Period(date(2020, 1, 1), date(2040, 1, 1))
        alone = _read(pieces(journal.rows(connection, whole, account="fees:stripe")))

    assert [0, 1] == [each.returncode for each in (done, refused)], done.stderr
    rows = list(csv.DictReader(StringIO(target.read_text())))
    posted = [row for row in rows if row["row"] == "posting"]
    assert {"clearing:stripe", "fees:stripe", "gifts:aftercare"} == {r["account"] for r in posted}
    assert {"aftercare"} == {row["designation"] for row in posted}
    assert all(row["receipt"].startswith("R-") for row in posted)
    assert {"fees:stripe", ""} == {row["account"] for row in alone}
