"""How the databases find what the portal shows: by an index, whatever the number of gifts."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any, Self

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import tune
from donorportal.giving import history
from donorportal.giving.history import Cursor
from donorportal.giving.models import Gift
from donorportal.giving.seeding import seed

Read = Callable[[Session, int], object]

_PLACE = Cursor(date(2025, 6, 1), 10_000)
READS: dict[str, Read] = {
    "first page": history.gifts_of,
    "older page": lambda session, donor: history.gifts_of(session, donor, after=_PLACE),
    "newer page": lambda session, donor: history.gifts_of(session, donor, before=_PLACE),
    "one year": lambda session, donor: history.gifts_of(session, donor, year=2025),
    "totals": history.summary_of,
    "gifts on their way": history.coming_gifts_of,
    "monthly gifts": history.recurring_of,
}
# What a donor's own gifts may cost: the tables that grow with the number of all gifts.
_GROWING = ("gift", "receipt", "recurring_gift", "donor")


@pytest.fixture
def session(engine_url: str) -> Iterator[Session]:
    """Open a session on a database whose planner knows of 15,000 gifts."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    seed(engine, donors=700, gifts=15_000, seed=1, today=date(2026, 11, 22))
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_no_read_of_the_portal_walks_through_everybody(session: Session) -> None:
    """Every query of the portal's pages reaches one donor's rows by an index; pages do not sort."""
    donor = session.execute(
        sa.select(Gift.donor_id)
        .where(Gift.donor_id.is_not(None))
        .group_by(Gift.donor_id)
        .order_by(sa.func.count().desc())
        .limit(1)
    ).scalar_one()
    assert donor is not None

    for name, read in READS.items():
        plan = plan_of(session, partial(read, session, donor))
        assert scans(plan) == [], name
        if name.endswith("page"):
            assert "ix_gift_history" in plan, name
            assert not re.search(r"\bSort\b|TEMP B-TREE", plan), name


def plan_of(session: Session, read: Callable[[], Any]) -> str:
    """Return the plan of the one statement that *read* executes."""
    seen = _listening(session)
    read()
    [(statement, values)] = seen
    how = "EXPLAIN QUERY PLAN" if _is_sqlite(session) else "EXPLAIN (COSTS OFF)"
    rows = session.connection().exec_driver_sql(f"{how} {statement}", values).all()
    return "\n".join(str(row[-1]) for row in rows)


def _listening(session: Session) -> list[tuple[str, Any]]:
    """Return the list to which the session adds what it executes, past SQLAlchemy as well."""
    seen: list[tuple[str, Any]] = []

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
            seen.append((query, params))
            return super().execute(query, params, **options)

    def remember(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        seen.append((statement, values))

    if _is_sqlite(session):
        sa.event.listen(session.get_bind(), "before_cursor_execute", remember)
    else:
        driver: Any = session.connection().connection.driver_connection
        driver.cursor_factory = Cursor
    return seen


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def scans(plan: str) -> list[str]:
    """Return the lines that read a whole growing table."""
    tables = "|".join(_GROWING)
    return re.findall(rf"^.*(?:\bSCAN|Seq Scan on) (?:{tables})\b(?! USING).*$", plan, re.MULTILINE)
