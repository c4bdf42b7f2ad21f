"""Fresh databases by the dozen, and an SDK that does not wait between its tries."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import stripe

Databases = Callable[[], str]
"""Returns the URL of a new, empty, migrated database."""


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """As many databases as a test wants, of each kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("migrated_sqlite")
        yield lambda: _copied(template, tmp_path / f"{secrets.token_hex(6)}.db")
        return
    server: sa.Engine = request.getfixturevalue("postgres")
    migrated: str = request.getfixturevalue("migrated_postgres")
    made: list[str] = []

    def create() -> str:
        # Nobody looks at the one before any more, and a disk can be small.
        for name in made[:-1]:
            _drop(server, name)
        del made[:-1]
        made.append(f"m_{secrets.token_hex(6)}")
        with server.connect() as connection:
            connection.execute(
                sa.text(f"CREATE DATABASE {made[-1]} TEMPLATE {migrated} STRATEGY file_copy")
            )
        return server.url.set(database=made[-1]).render_as_string(hide_password=False)

    yield create
    for name in made:
        _drop(server, name)


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Stripe's SDK try again at once where it would wait half a second."""
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.001)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0.002)


def _copied(template: Path, path: Path) -> str:
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


def _drop(server: sa.Engine, name: str) -> None:
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
