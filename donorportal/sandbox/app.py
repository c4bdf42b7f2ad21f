"""Put the sandbox together as one Flask application."""

from pathlib import Path

from flask import Flask, Response, jsonify
from werkzeug.exceptions import InternalServerError

from donorportal.sandbox import clocks as _clocks
from donorportal.sandbox import disputes as _disputes
from donorportal.sandbox import invoice_api as _invoice_api
from donorportal.sandbox import subscription_api as _subscription_api
from donorportal.sandbox import webhooks as _webhooks
from donorportal.sandbox.api import Api
from donorportal.sandbox.authenticator import authenticator_pages
from donorportal.sandbox.checkout_pages import CheckoutPages
from donorportal.sandbox.control import Control
from donorportal.sandbox.delivery import Deliverer
from donorportal.sandbox.errors import ApiError
from donorportal.sandbox.invoice_pages import InvoicePages
from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.mailbox_pages import mailbox_pages
from donorportal.sandbox.storage import Store

__all__ = ["create_sandbox"]
# Importing a capability registers its operations.
_CAPABILITIES = (_disputes, _invoice_api, _subscription_api, _webhooks, _clocks)


def create_sandbox(
    database: Path, *, public_url: str, mailbox: Mailbox | None = None, checking: bool = True
) -> Flask:
    """Build the sandbox over a database file; `public_url` is the origin of Checkout's pages.

    The background work is not started: `app.extensions["sandbox"]` holds the store and the
    deliverer for whoever serves the application.
    """
    app = Flask(__name__)
    store = Store(database, checking=checking)
    with store.transaction() as tx:
        tx.set_setting("public_url", public_url)
    deliverer = Deliverer(store)
    app.extensions["sandbox"] = (store, deliverer)
    app.register_blueprint(Api(store).blueprint())
    app.register_blueprint(CheckoutPages(store, deliverer).blueprint())
    app.register_blueprint(InvoicePages(store).blueprint())
    app.register_blueprint(Control(store, deliverer).blueprint())
    app.register_blueprint(authenticator_pages(), url_prefix="/authenticator")
    if mailbox is not None:
        app.register_blueprint(mailbox_pages(mailbox), url_prefix="/mail")
    app.add_url_rule("/healthz", "healthz", lambda: "ok\n")
    app.register_error_handler(ApiError, _refused)
    app.register_error_handler(InternalServerError, _broken)
    return app


def _refused(error: ApiError) -> tuple[Response, int]:
    return jsonify(error.body), error.status


def _broken(error: InternalServerError) -> tuple[Response, int]:
    # Flask has logged the traceback; a client of the API still gets JSON.
    return jsonify({"error": {"type": "api_error", "message": error.description}}), 500
