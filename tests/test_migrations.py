"""The migrations make exactly the tables of the models, on both databases, and undo it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from donorportal import schema
from donorportal.db import tune

_ALEMBIC_TABLE = {"alembic_version"}


@pytest.fixture
def empty(empty_url: str) -> Iterator[sa.Engine]:
    """An engine on a database without any table."""
    engine = sa.create_engine(empty_url)
    tune(engine)
    yield engine
    engine.dispose()


def _tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - _ALEMBIC_TABLE


def test_there_is_one_way_forward() -> None:
    """Two branches that each added a migration must agree on an order before they are merged."""
    assert len(schema.scripts().get_heads()) == 1


def test_migrations_are_numbered_in_order_and_say_what_they_do() -> None:
    """A migration's file is named 0001_what_it_does.py, and the numbers have no gaps."""
    revisions = list(schema.scripts().walk_revisions())[::-1]
    names = [Path(revision.path).name for revision in revisions]

    assert [f"{number:04d}" for number in range(1, len(names) + 1)] == [
        revision.revision for revision in revisions
    ]
    assert [name for name in names if not re.fullmatch(r"\d{4}(_[a-z0-9]+){2,}\.py", name)] == []
    assert [name[:4] for name in names] == [revision.revision for revision in revisions]


def test_upgrading_an_empty_database_makes_the_tables_of_the_models(empty: sa.Engine) -> None:
    """After an upgrade from nothing, Alembic finds no difference to the models."""
    schema.upgrade(empty)

    schema.check(empty)
    assert _tables(empty) == set(schema.metadata().tables)
    with empty.connect() as connection:
        assert schema.is_current(connection)


def test_every_migration_can_be_undone_and_done_again(empty: sa.Engine) -> None:
    """Down to nothing leaves no table behind, and the way up still works afterwards."""
    schema.upgrade(empty)

    schema.downgrade(empty, "base")
    assert _tables(empty) == set()
    with empty.connect() as connection:
        assert not schema.is_current(connection)

    schema.upgrade(empty)
    schema.check(empty)


def test_a_second_upgrade_changes_nothing(empty: sa.Engine) -> None:
    """Starting two processes that both upgrade is harmless."""
    schema.upgrade(empty)
    schema.upgrade(empty)

    schema.check(empty)
