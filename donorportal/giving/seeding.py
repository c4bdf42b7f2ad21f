"""A data set of any size to try things with: invented donors, gifts and books that balance."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import writing_session
from donorportal.donors.models import Donor
from donorportal.giving.models import Gift, ReceiptSeries
from donorportal.giving.seed_rows import COLUMNS, Rows
from donorportal.giving.seed_years import Years
from donorportal.giving.starting import base_data
from donorportal.ledger.models import Entry

_CHUNK = 20_000
# While SQLite loads: 256 MiB of pages in memory, and no looking up of references, since every row
# refers to one that we have just written. The triggers stay on.
_SQLITE_LOADING = ("cache_size=-262144", "foreign_keys=OFF")
_SQLITE_USUAL = ("cache_size=-2000", "foreign_keys=ON")


# An index that belongs to a constraint has no statement of its own.
_PLAIN_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"


class SeedRefused(Exception):  # noqa: N818 - named for what happened
    """The database already holds somebody's gifts; the message says so."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """How many rows there are now."""

    donors: int
    gifts: int
    monthly_gifts: int
    refunds: int
    receipts: int


def seed(
    engine: sa.Engine,
    *,
    donors: int,
    gifts: int,
    seed: int,
    today: date,
    progress: Callable[[int], None] | None = None,
) -> SeedResult:
    """Fill a database that has no gifts with invented ones of the six years before *today*.

    The same numbers, seed and date give the same rows. *progress* is told how many
    more gifts are written. All of it is one transaction: a run that was interrupted leaves nothing.

    Raises:
        SeedRefused: There are donors or gifts already, or gifts without anybody to give them.

    """
    if gifts and not donors:
        raise SeedRefused("Gifts need at least one donor to give them.")
    with writing_session(engine) as session:
        _refuse_unless_empty(session)
        base_data(session)
    years = Years(donors=donors, gifts=gifts, seed=seed, today=today)
    with engine.connect() as connection:
        _prepare(connection, _SQLITE_LOADING)
        try:
            with connection.begin(), _indexes_at_the_end(connection):
                for rows in years.chunks(_CHUNK):
                    _insert(connection, rows)
                    if progress:
                        progress(len(rows["gift"]))
                _number_receipts(connection, years.rows.last_serials)
            with connection.begin():
                _know_the_sizes(connection)
        finally:
            _prepare(connection, _SQLITE_USUAL)
    return SeedResult(
        donors=years.rows.donors,
        gifts=years.rows.gifts,
        monthly_gifts=years.rows.monthly_gifts,
        refunds=years.rows.refunds,
        receipts=sum(years.rows.last_serials.values()),
    )


def _refuse_unless_empty(session: Session) -> None:
    for table in (Gift, Donor, Entry):
        if session.scalar(sa.select(sa.exists(sa.select(table.id)))):
            raise SeedRefused(
                f"This database already has rows in {table.__tablename__};"
                " invented gifts only go into a database without any."
            )


def _prepare(connection: sa.Connection, pragmas: tuple[str, ...]) -> None:
    if connection.dialect.name == "sqlite":
        for pragma in pragmas:
            _driver(connection).execute(f"PRAGMA {pragma}")


@contextmanager
def _indexes_at_the_end(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite build its plain indexes from all rows at once; those of constraints stay.

    To find the place of each row in an index takes longer than to sort all of them.
    """
    indexes: list[tuple[str, str]] = []
    if connection.dialect.name == "sqlite":
        indexes = _driver(connection).execute(_PLAIN_INDEXES).fetchall()
    for name, _ in indexes:
        _driver(connection).execute(f"DROP INDEX {name}")
    yield
    for _, statement in indexes:
        _driver(connection).execute(statement)


def _insert(connection: sa.Connection, rows: Rows) -> None:
    if connection.dialect.name == "sqlite":
        _insert_sqlite(connection, rows)
    else:
        _insert_postgres(connection, rows)


def _number_receipts(connection: sa.Connection, last_serials: dict[int, int]) -> None:
    """Let the next receipt of each year have the number after those that have been given out."""
    series = [{"year": year, "last_serial": last} for year, last in last_serials.items()]
    if series:
        connection.execute(sa.insert(ReceiptSeries), series)


def _insert_sqlite(connection: sa.Connection, rows: Rows) -> None:
    for table, columns in COLUMNS.items():
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({_listed(columns)}) VALUES ({marks})"  # noqa: S608
        _driver(connection).executemany(statement, rows[table])


def _insert_postgres(connection: sa.Connection, rows: Rows) -> None:
    # The texts of times carry no zone; they mean UTC.
    connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
    with _driver(connection).cursor() as cursor:
        for table, columns in COLUMNS.items():
            with cursor.copy(f"COPY {table} ({_listed(columns)}) FROM STDIN") as copy:
                for row in rows[table]:
                    copy.write_row(row)
    for table, columns in COLUMNS.items():
        if columns[0] == "id":
            _count_on(connection, table)


def _count_on(connection: sa.Connection, table: str) -> None:
    """Let the next id be the one after those we gave out ourselves."""
    connection.exec_driver_sql(
        f"SELECT setval('{table}_id_seq', max(id)) FROM {table} HAVING max(id) > 0"  # noqa: S608
    )


def _know_the_sizes(connection: sa.Connection) -> None:
    """Tell the query planner what has just arrived; sampling is exact enough on SQLite."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA analysis_limit=1000")
    connection.exec_driver_sql("ANALYZE")


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
