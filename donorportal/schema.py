"""The tables of all capabilities together, and how a database comes to have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from donorportal.db import Base
from donorportal.paths import shipped

_PACKAGE = Path(__file__).parent
# Any number will do, as long as nothing else in this database locks the same one.
_POSTGRES_LOCK = 7_206_514


def metadata() -> sa.MetaData:
    """Return every table, whichever capability it belongs to."""
    for models in sorted(_PACKAGE.rglob("models.py")):
        module = models.relative_to(_PACKAGE.parent).with_suffix("").parts
        if "sandbox" not in module:
            import_module(".".join(module))
    return Base.metadata


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the database up to *revision*; with nothing to do, do nothing."""
    with _alone(engine) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Take the database back to *revision*; `base` is the empty database."""
    with _alone(engine) as connection:
        command.downgrade(_config(connection), revision)


def check(engine: sa.Engine) -> None:
    """Compare the database with the models. Raises alembic.util.CommandError if they differ."""
    with engine.begin() as connection:
        command.check(_config(connection))


def is_current(connection: sa.Connection) -> bool:
    """Say whether every migration has run on this database."""
    context = MigrationContext.configure(connection)
    return set(context.get_current_heads()) == set(scripts().get_heads())


def scripts() -> ScriptDirectory:
    """Return the migrations that came with this version of the program."""
    return ScriptDirectory(str(shipped("migrations")))


def draft(engine: sa.Engine, what_it_does: str) -> Path:
    """Write the next migration from what the models have and the database lacks; review it."""
    number = len(list(scripts().walk_revisions())) + 1
    with engine.begin() as connection:
        written = command.revision(
            _config(connection), what_it_does, autogenerate=True, rev_id=f"{number:04d}"
        )
    if written is None or isinstance(written, list):
        raise RuntimeError("Alembic wrote no single migration")
    return Path(written.path)


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("truncate_slug_length", "60")
    config.attributes.update(connection=connection, metadata=metadata())
    return config


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open one transaction in which nobody else migrates: all of it happens, or nothing."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            yield from _sqlite_rebuild(connection)
        else:
            with connection.begin():
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
                yield connection


def _sqlite_rebuild(connection: sa.Connection) -> Iterator[sa.Connection]:
    """Let tables be rebuilt while others refer to them, and check the references at the end.

    SQLite changes a table by copying it and dropping the original, which checked references
    would forbid; they can only be switched off before a transaction begins.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            yield connection
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if dangling:
                raise RuntimeError(f"the migration left rows without their owner: {dangling[:5]}")
    finally:
        driver.execute("PRAGMA foreign_keys=ON")
