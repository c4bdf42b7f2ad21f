"""How the databases find what the portal shows: by an index, whatever the number of gifts."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any

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
    "totals": history.totals_by_year,
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
    seen: list[tuple[str, Any]] = []
    engine = session.get_bind()

    def remember(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        seen.append((statement, values))

    sa.event.listen(engine, "before_cursor_execute", remember)
    try:
        read()
    finally:
        sa.event.remove(engine, "before_cursor_execute", remember)
    [(statement, values)] = seen
    how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN (COSTS OFF)"
    rows = session.connection().exec_driver_sql(f"{how} {statement}", values).all()
    return "\n".join(str(row[-1]) for row in rows)


def scans(plan: str) -> list[str]:
    """Return the lines that read a whole growing table."""
    tables = "|".join(_GROWING)
    return re.findall(rf"^.*(?:\bSCAN|Seq Scan on) (?:{tables})\b(?! USING).*$", plan, re.MULTILINE)
