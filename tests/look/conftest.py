"""The product served on a port of this machine, for pages to be looked at."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from donorportal.app import create_app
from donorportal.config import Settings
from donorportal.db import db, writing_session
from donorportal.giving.starting import base_data


@dataclass(frozen=True, slots=True)
class Site:
    """The application, its settings, and where it answers."""

    app: Flask
    settings: Settings
    url: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Site]:
    """The whole product with an empty database; the payment service is out of reach."""
    path = tmp_path_factory.mktemp("look") / "donorportal.db"
    shutil.copyfile(migrated_sqlite, path)
    # The port is bound first, because the product wants to know its own address.
    server = make_server("127.0.0.1", 0, Flask("starting"), threaded=True)
    settings = _settings(f"sqlite:///{path}", f"http://localhost:{server.server_port}")
    server.app = create_app(settings)
    with server.app.app_context(), writing_session(db.engine) as session:
        base_data(session)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(server.app, settings, settings.public_url)
    server.shutdown()
    thread.join()
    server.server_close()
    with server.app.app_context():
        db.session.remove()
        db.engine.dispose()


def _settings(database_url: str, public_url: str) -> Settings:
    return Settings.from_environment(
        {
            "SECRET_KEY": "k" * 40,
            "DATABASE_URL": database_url,
            "PUBLIC_URL": public_url,
            "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
            "STRIPE_WEBHOOK_SECRETS": "whsec_" + "1" * 32,
            "STRIPE_API_BASE": "http://localhost:1",
            "MAIL_SERVER": "localhost",
            "MAIL_SECURITY": "none",
            "MAIL_FROM": "Open Door <giving@example.org>",
            "EMBEDDED_WORKER": "off",
            "ORGANISATION_NAME": "Open Door",
            "ORGANISATION_LEGAL_NAME": "Open Door, Inc.",
            "ORGANISATION_ADDRESS": "100 Example Street|Arlington, VA 22201",
        }
    )
