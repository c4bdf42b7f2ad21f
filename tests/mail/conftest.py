"""Settings, a relay and an engine for the tests of mail."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from donorportal.config import Settings
from donorportal.db import tune
from tests.mail.relay import Behaviour, Relay, RelayServer


@pytest.fixture
def engine(engine_url: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database of the test's own."""
    engine = sa.create_engine(engine_url)
    tune(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def mail_settings() -> Settings:
    """Settings of an organisation whose name is hard to write into a header."""
    return Settings.from_environment(
        {
            "SECRET_KEY": "a secret that only these tests use, 32 or more",
            "DATABASE_URL": "sqlite://",
            "PUBLIC_URL": "http://localhost:8000",
            "STRIPE_SECRET_KEY": "sk_test_tests",
            "STRIPE_WEBHOOK_SECRETS": "whsec_tests",
            "STRIPE_API_BASE": "http://localhost:8010",
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": "2525",
            "MAIL_SECURITY": "none",
            "MAIL_FROM": '"Doe, Jané & Trust" <giving@opendoor.example>',
            "ORGANISATION_NAME": "Open Door",
            "ORGANISATION_ADDRESS": "1 Example Street|Springfield",
        }
    )


@pytest.fixture
def start_relay() -> Iterator[Callable[..., Relay]]:
    """Start relays that are stopped after the test."""
    servers: list[RelayServer] = []

    def start(behaviour: Behaviour | None = None, **options: object) -> Relay:
        servers.append(RelayServer(behaviour, **options))  # type: ignore[arg-type]
        return servers[-1].relay

    yield start
    for server in servers:
        server.stop()


def at(settings: Settings, relay: Relay, **changes: object) -> Settings:
    """Return *settings* that send through *relay*."""
    return replace(settings, mail_port=relay.port, **changes)  # type: ignore[arg-type]
