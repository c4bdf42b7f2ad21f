"""The database: base class, column types, SQLite tuning and the unit of work."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, cast

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, registry


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware instant; SQLite, which has no time zones, keeps it as UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse a naive time: nobody could say what instant it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        instant = value.astimezone(UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give every instant back as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Ref = Annotated[int, mapped_column(BigId)]
Minor = Annotated[int, mapped_column(sa.BigInteger)]
Json = sa.JSON().with_variant(JSONB, "postgresql")

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What every table has in common."""

    registry = registry(
        metadata=sa.MetaData(naming_convention=_NAMES),
        type_annotation_map={
            datetime: UtcDateTime(),
            dict[str, Any]: Json,
            list[str]: Json,
            int: sa.Integer(),
        },
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)

# True while nothing may be written; the web edge sets it for GET, HEAD and OPTIONS.
reading: ContextVar[bool] = ContextVar("reading", default=False)

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=15000",
    "foreign_keys=ON",
    "temp_store=MEMORY",
)


# A connection that was used so recently is not asked whether it still lives.
_TRUSTED_SECONDS = 10.0


def tune(engine: sa.Engine) -> None:
    """Make SQLite safe for money, and connections to a server fit for use.

    The driver's own transactions are switched off: they lose updates. A writer takes the lock
    when it begins, so that two of them queue instead of failing half-way. FULL keeps the last
    commits through a power cut.
    """
    if engine.dialect.name != "sqlite":
        _replace_dead_connections(engine)
        _read_without_transactions(engine)
        return

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        read_only = reading.get()
        connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def upsert(session: Session, of: type[Any]) -> postgresql.Insert:
    """Return an INSERT that can say what happens on a conflict, for the session's database.

    Both engines speak the same dialect here; the annotation names one of them. The statement is
    about the table, not the mapped class: rows are written without the ORM's bookkeeping.
    """
    if session.get_bind().dialect.name == "sqlite":
        return cast("postgresql.Insert", sqlite.insert(of.__table__))
    return postgresql.insert(of.__table__)


def run_alone(
    engine: sa.Engine, statement: sa.Executable, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Run one statement as a transaction of its own; return its rows as the driver gives them.

    PostgreSQL does this in one round trip instead of three. Its driver is asked directly, because
    around a single statement SQLAlchemy takes longer than the statement does. Every value that is
    not in *values* must be written out in the statement, which must return something.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(statement, values)]
    text, adapted = _for_driver(statement, engine.dialect)
    with closing(engine.raw_connection()) as pooled:
        driver = cast("Any", pooled.driver_connection)
        try:
            driver.autocommit = True
            rows: list[tuple[Any, ...]] = driver.execute(text, adapted(values)).fetchall()
            driver.autocommit = False
        except BaseException:
            pooled.invalidate()
            if driver.closed:
                # The server has gone, and the other connections with it.
                engine.dispose()
            raise
        return rows


def read_directly(
    connection: sa.Connection, statement: sa.Executable, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Read rows in the connection's transaction, as PostgreSQL's driver gives them.

    It makes the types we want by itself; SQLAlchemy's share of a short query would be larger than
    the database's.
    """
    text, adapted = _for_driver(statement, connection.dialect)
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(text, adapted(values))
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


@lru_cache
def _for_driver(
    statement: sa.Executable, dialect: sa.Dialect
) -> tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """Return a statement as the driver wants it, and what does so with its values."""
    compiled = cast("sa.ClauseElement", statement).compile(dialect=dialect)
    sql = cast("sa.sql.compiler.SQLCompiler", compiled)
    needed = {
        name: (bind, bind.type.dialect_impl(dialect).bind_processor(dialect))
        for name, bind in sql.binds.items()
    }

    def adapted(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: adapt(value) if adapt else value
            for name, (bind, adapt) in needed.items()
            for value in [values[name] if bind.required else bind.value]
        }

    return str(sql), adapted


def _replace_dead_connections(engine: sa.Engine) -> None:
    """Ask a connection that was idle whether it still lives; asking busy ones would cost time."""

    @event.listens_for(engine, "checkin")
    def _checkin(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", 0.0) > _TRUSTED_SECONDS:
            if engine.dialect.do_ping(connection):
                return
            raise sa.exc.DisconnectionError


def _read_without_transactions(engine: sa.Engine) -> None:
    """Read without BEGIN and ROLLBACK.

    Each statement has its own snapshot either way, and after a ROLLBACK psycopg forgets every
    statement it prepared: the server would plan each query of each page anew.
    """

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        if connection.autocommit != reading.get():
            connection.autocommit = reading.get()


@contextmanager
def unit_of_work() -> Iterator[Session]:
    """Open the request's session; commit when the block ends, roll back when it raises."""
    session = db.session()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise


@contextmanager
def reading_session(engine: sa.Engine) -> Iterator[Session]:
    """Open a session that can only read, and that takes no write lock on SQLite."""
    token = reading.set(True)
    try:
        with Session(engine) as session:
            yield session
    finally:
        reading.reset(token)


@contextmanager
def writing_session(engine: sa.Engine) -> Iterator[Session]:
    """Open a session in one transaction: committed at the end, rolled back on an error."""
    token = reading.set(False)
    try:
        with Session(engine) as session, session.begin():
            yield session
    finally:
        reading.reset(token)


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that sees everything as it is at one moment, for as long as it reads.

    What is read here may take minutes: the limits that protect requests from each other are off.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        # Reset at once: a response that is streamed may end in another context than it began in.
        token = reading.set(True)
        try:
            transaction = connection.begin()
        finally:
            reading.reset(token)
        with transaction:
            if engine.dialect.name == "postgresql":
                for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
            yield connection
