"""What every test may ask for: a fresh database of each kind, a browser, and no network."""

import ipaddress
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright

from donorportal import schema
from donorportal.db import tune
from donorportal.giving import books
from tests.browsing import WatchedPage, watch
from tests.devpg import DevPostgres

# The application, the sandbox it talks to, and people at its doors.
pytest_plugins = ["tests.fixtures_app", "tests.fixtures_doorstep"]

_SERVER = pytest.StashKey[DevPostgres]()
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


class _Node(Protocol):
    """The part of an xdist worker, seen from its controller, that we use."""

    config: pytest.Config
    workerinput: dict[str, Any]


def pytest_configure(config: pytest.Config) -> None:
    """Forbid the network, and begin to start the one server that all workers share."""
    sys.addaudithook(_refuse_the_network)
    has_workers = bool(getattr(config.option, "numprocesses", None))
    if has_workers and "TEST_POSTGRES_URL" not in os.environ:
        config.stash[_SERVER] = DevPostgres()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    """Tell a worker where the shared server is."""
    if server := node.config.stash.get(_SERVER, None):
        node.workerinput["postgres_url"] = server.url()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the shared server."""
    if server := config.stash.get(_SERVER, None):
        server.stop()


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Let tests reach this machine only; a hook sees every connection Python makes."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_this_machine(host):
        raise RuntimeError(f"a test tried to reach {host}; only this machine is allowed")


def _is_this_machine(host: object) -> bool:
    if host in {None, "", "localhost", b"localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a PostgreSQL server on which tests may create databases."""
    workerinput: dict[str, Any] = getattr(pytestconfig, "workerinput", {})
    given = os.environ.get("TEST_POSTGRES_URL") or workerinput.get("postgres_url")
    if given:
        yield given
        return
    server = DevPostgres()
    yield server.url()
    server.stop()


@pytest.fixture(scope="session")
def postgres(postgres_url: str) -> Iterator[sa.Engine]:
    """An engine on the server itself, for creating and dropping databases."""
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: sa.Engine) -> str:
    """The name of a migrated database that each test's own is copied from."""
    name = _create_database(postgres)
    _upgrade(_url_of(postgres, name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that each test's own is copied from."""
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    _upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    postgres: sa.Engine = request.getfixturevalue("postgres")
    name = _create_database(postgres)
    yield _url_of(postgres, name)
    _drop_database(postgres, name)


@pytest.fixture(params=["sqlite", "postgres"])
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of this test's own migrated database, once on SQLite and once on PostgreSQL.

    Afterwards the books in it must balance: every test is a test of the ledger. For one kind
    only: `@pytest.mark.parametrize("engine_url", ["postgres"], indirect=True)`.
    """
    if request.param == "sqlite":
        path = tmp_path / "donorportal.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        url = f"sqlite:///{path}"
        yield url
        _assert_books_balance(url)
        return
    postgres: sa.Engine = request.getfixturevalue("postgres")
    name = _create_database(postgres, request.getfixturevalue("migrated_postgres"))
    url = _url_of(postgres, name)
    yield url
    try:
        _assert_books_balance(url)
    finally:
        _drop_database(postgres, name)


def _create_database(postgres: sa.Engine, template: str = "template0") -> str:
    name = f"t_{secrets.token_hex(6)}"
    with postgres.connect() as connection:
        # Copying files beats writing the copy to the log: 25 instead of 55 ms with 60 tables.
        statement = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        connection.execute(sa.text(statement))
    return name


def _drop_database(postgres: sa.Engine, name: str) -> None:
    with postgres.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def _url_of(postgres: sa.Engine, name: str) -> str:
    return postgres.url.set(database=name).render_as_string(hide_password=False)


def _upgrade(url: str) -> None:
    engine = _engine(url)
    schema.upgrade(engine)
    engine.dispose()


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    tune(engine)
    return engine


def _assert_books_balance(url: str) -> None:
    engine = _engine(url)
    with engine.connect() as connection:
        found = books.violations(connection)
    engine.dispose()
    assert found == []


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one the test is skipped, or fails if REQUIRE_BROWSER=1."""
    for candidate in (os.environ.get("CHROMIUM"), *map(shutil.which, _CHROMIUM_NAMES)):
        if candidate and Path(candidate).exists():
            return candidate
    advice = "no Chromium: apt-get install chromium libatomic1, or set CHROMIUM to its path"
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for all tests of this worker; each test opens its own context in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[WatchedPage]:
    """A page in a context of its own; `page.bad` lists what its console complained about."""
    context = browser.new_context()
    yield watch(context.new_page())
    context.close()
