"""An application to sign in to, for tests that stand before its doors."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from donorportal.app import create_app
from donorportal.config import Settings
from donorportal.db import db, tune
from tests.access.doorstep import Doorstep


@pytest.fixture
def doorstep(engine_url: str) -> Iterator[Doorstep]:
    """An application nobody has signed in to yet, on each database."""
    settings = Settings.from_environment(
        {
            "SECRET_KEY": "k" * 40,
            "DATABASE_URL": engine_url,
            "PUBLIC_URL": "http://localhost",
            "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
            "STRIPE_WEBHOOK_SECRETS": "whsec_" + "1" * 32,
            "MAIL_SERVER": "localhost",
            "MAIL_SECURITY": "none",
            "MAIL_FROM": "Open Door <giving@example.org>",
            "EMBEDDED_WORKER": "off",
        }
    )
    app = create_app(settings)
    engine = sa.create_engine(engine_url)
    tune(engine)
    yield Doorstep(app, settings, engine)
    engine.dispose()
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
