"""The database: base class, column types, SQLite tuning and the unit of work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
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
