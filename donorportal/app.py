"""The only place that wires things together."""

from collections.abc import Callable

from flask import Flask
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

import donorportal.access.views
import donorportal.giving.recovery.views
import donorportal.giving.views
import donorportal.portal.views
import donorportal.staff.views
import donorportal.webhooks.views
from donorportal import edge, health
from donorportal.access import permissions, sessions
from donorportal.assets import Assets
from donorportal.config import Settings
from donorportal.db import db, tune
from donorportal.giving.blanks import Blanks
from donorportal.giving.catalogue import Catalogue
from donorportal.jobs import waking
from donorportal.jobs.thread import EmbeddedWorker
from donorportal.mail.transport import SmtpTransport
from donorportal.paths import shipped
from donorportal.payments.gateway import Gateway
from donorportal.payments.stripe_gateway import StripeGateway
from donorportal.schema import metadata
from donorportal.worker import build_tasks, periodic, waker

_MOST_FORM_BYTES = 64 * 1024
_MOST_BODY_BYTES = 1024 * 1024


def create_app(settings: Settings, gateway: Gateway | None = None) -> Flask:
    """Make the application for these settings; nothing runs until ``start_worker``."""
    metadata()
    app = Flask("donorportal", template_folder=str(shipped("templates")), static_folder=None)
    app.config.from_mapping(_configuration(settings))
    app.extensions["settings"] = settings
    app.extensions["gateway"] = gateway or gateway_for(settings)
    app.extensions["catalogue"] = Catalogue()
    app.extensions["blanks"] = Blanks()
    app.extensions["wake"] = lambda: None
    _use_database(app)
    edge.init_edge(app, settings, Assets())
    sessions.init_sign_in(app)
    permissions.init_permissions(app)
    csrf = CSRFProtect(app)
    for views in (
        donorportal.giving.views,
        donorportal.giving.recovery.views,
        donorportal.access.views,
        donorportal.portal.views,
        donorportal.staff.views,
        donorportal.webhooks.views,
        health,
    ):
        app.register_blueprint(views.bp)
    # Giving needs no cookie: these posts are guarded by where the browser says they come from,
    # and the webhook by its signature.
    csrf.exempt(donorportal.giving.views.bp)
    csrf.exempt(donorportal.webhooks.views.bp)
    permissions.check_registry(app)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def gateway_for(settings: Settings) -> StripeGateway:
    """Return the payment service of these settings."""
    return StripeGateway(
        settings.stripe_secret_key,
        api_base=settings.stripe_api_base,
        webhook_secrets=settings.stripe_webhook_secrets,
    )


def start_worker(app: Flask) -> EmbeddedWorker | None:
    """Start the embedded worker, or arrange that separate workers are woken.

    Call it in the process that serves requests, after any fork.
    """
    settings: Settings = app.extensions["settings"]
    with app.app_context():
        engine = db.engine
    if settings.broker_url or not settings.embedded_worker:
        _wake_with(app, waker(settings))
        return None
    tasks = build_tasks(settings, app.extensions["gateway"], SmtpTransport(settings))
    worker = EmbeddedWorker(engine, tasks, before_each=periodic(engine).enqueue_due)
    _wake_with(app, worker.wake)
    worker.start()
    return worker


def _wake_with(app: Flask, wake: Callable[[], None]) -> None:
    app.extensions["wake"] = wake
    waking.install(db.session, wake)


def _configuration(settings: Settings) -> dict[str, object]:
    return {
        **sessions.configuration(settings),
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": _engine_options(settings.database_url),
        "TRUSTED_HOSTS": _hosts(settings),
        "MAX_CONTENT_LENGTH": _MOST_BODY_BYTES,
        "MAX_FORM_MEMORY_SIZE": _MOST_FORM_BYTES,
        "MAX_FORM_PARTS": 200,
    }


def _hosts(settings: Settings) -> list[str]:
    """Return the host names we answer to; a development machine has two names for itself."""
    if settings.public_host == "localhost":
        return ["localhost", "127.0.0.1"]
    return [settings.public_host]


def _engine_options(database_url: str) -> dict[str, object]:
    if database_url.startswith("sqlite"):
        return {"pool_size": 16, "max_overflow": 4}
    limits = (
        "-c statement_timeout=10000 -c lock_timeout=5000"
        " -c idle_in_transaction_session_timeout=30000"
    )
    return {
        "pool_size": 8,
        "max_overflow": 4,
        "pool_recycle": 1800,
        "pool_timeout": 5,
        "connect_args": {"options": limits, "application_name": "donorportal"},
    }


def _use_database(app: Flask) -> None:
    db.init_app(app)
    with app.app_context():
        tune(db.engine)
