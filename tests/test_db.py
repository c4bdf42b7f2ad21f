"""One statement alone: what it returns, what it leaves behind, and a server that goes away."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.db import Base, run_alone, tune
from donorportal.jobs.models import Job

_JOBS = Base.metadata.tables[Job.__tablename__]
_ADD = (
    sa.insert(_JOBS)
    .values(
        {name: sa.bindparam(name, type_=_JOBS.c[name].type) for name in ("args", "run_at")}
        | {"queue": "default", "task": "nothing", "key": "one", "state": "ready"}
        | {"attempts": 0, "max_attempts": 1, "created_at": clock.now()}
    )
    .returning(_JOBS.c.task)
)


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """Keep two connections at most, so that each is used again."""
    engine = sa.create_engine(engine_url, pool_size=2, max_overflow=0)
    tune(engine)
    yield engine
    engine.dispose()


def _jobs(engine: sa.Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(Job.args, Job.run_at))]


def test_a_statement_alone_is_committed_with_values_as_columns_store_them(
    engine: sa.Engine,
) -> None:
    """JSON and times arrive as they would through the session, and the row is there for all."""
    now = clock.now()

    rows = run_alone(engine, _ADD, {"args": {"number": 1}, "run_at": now})

    assert [("nothing",)] == rows
    assert [({"number": 1}, now)] == _jobs(engine)


def test_a_naive_time_is_refused_alone_too(engine: sa.Engine) -> None:
    """A value that no column would take reaches no driver."""
    naive = clock.now().replace(tzinfo=None)

    with pytest.raises((ValueError, sa.exc.StatementError), match="time zone"):
        run_alone(engine, _ADD, {"args": {}, "run_at": naive})
    assert [] == _jobs(engine)


def test_transactions_afterwards_are_transactions(engine: sa.Engine) -> None:
    """The connection that ran a statement alone takes back what comes after it, if asked to."""
    run_alone(engine, _ADD, {"args": {}, "run_at": clock.now()})

    with engine.connect() as connection:
        connection.execute(sa.delete(Job))
        connection.rollback()
    assert 1 == len(_jobs(engine))


@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)
def test_a_server_that_went_away_is_noticed_once(engine: sa.Engine, postgres: sa.Engine) -> None:
    """After a restart of PostgreSQL one statement fails, and not one for each open connection."""
    with engine.connect() as one, engine.connect() as two:
        ids = [line.scalar(sa.text("SELECT pg_backend_pid()")) for line in (one, two)]
    with postgres.connect() as server:
        for number in ids:
            server.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": number})

    with pytest.raises(psycopg.OperationalError):
        run_alone(engine, _ADD, {"args": {}, "run_at": clock.now()})
    assert [("nothing",)] == run_alone(engine, _ADD, {"args": {}, "run_at": clock.now()})
