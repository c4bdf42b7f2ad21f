"""The whole application inside the test, with the real SDK talking to the real sandbox."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
import stripe
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from donorportal.app import create_app
from donorportal.config import Settings
from donorportal.db import db, reading_session, writing_session
from donorportal.giving.starting import base_data
from donorportal.jobs.models import Queue
from donorportal.jobs.running import drain
from donorportal.mail.transport import SmtpTransport
from donorportal.payments.stripe_gateway import StripeGateway
from donorportal.worker import build_tasks
from tests.sandboxproc import SandboxProcess

WEBHOOK_SECRET = "whsec_" + "t" * 32


def settings_for(database_url: str, sandbox: SandboxProcess, **more: str) -> Settings:
    """Return settings that point at the sandbox, with *more* environment on top."""
    return Settings.from_environment(environment_for(database_url, sandbox, **more))


def environment_for(database_url: str, sandbox: SandboxProcess, **more: str) -> dict[str, str]:
    """Return the environment variables behind ``settings_for``."""
    return {
        "SECRET_KEY": "k" * 40,
        "DATABASE_URL": database_url,
        "PUBLIC_URL": "http://localhost",
        "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
        "STRIPE_API_BASE": f"http://127.0.0.1:{sandbox.port}",
        "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(sandbox.smtp_port),
        "MAIL_SECURITY": "none",
        "MAIL_FROM": "Open Door <giving@example.org>",
        "EMBEDDED_WORKER": "off",
        "CHECKOUT_LIMIT_FACTOR": "1000",
        # What a test counts or lets fail must not be met by work that comes with the clock.
        "RECONCILE": "manual",
        "ORGANISATION_ADDRESS": "1 Example Street|Springfield, XX 00000",
    } | more


@dataclass
class Portal:
    """One application on a database of its own; webhooks come only when a test sends them."""

    app: Flask
    settings: Settings
    sandbox: SandboxProcess
    gateway: StripeGateway
    delivered: set[str] = field(default_factory=set)

    @property
    def engine(self) -> sa.Engine:
        """The application's engine."""
        with self.app.app_context():
            return db.engine

    def client(self) -> FlaskClient:
        """Return a new browser without cookies."""
        return self.app.test_client()

    def form(self, **fields: Any) -> dict[str, Any]:
        """Return a giving form that a person filled in a few seconds ago."""
        key = str(fields.pop("key", uuid4()))
        return {
            "amount": "50",
            "currency": "USD",
            "frequency": "once",
            "designation": "where-needed-most",
            "email": "donor@example.org",
            "name": "Sam Example",
            "key": key,
            "stamp": self.stamp(key),
        } | fields

    def stamp(self, key: str, seconds_ago: int = 5) -> str:
        """Return the signed time of a form that was shown *seconds_ago*."""
        signer = TimestampSigner(self.settings.secret_key, salt="giving form")
        shown_at = int(time.time()) - seconds_ago
        signer.get_timestamp = lambda: shown_at  # type: ignore[method-assign]
        return signer.sign(key).decode()

    def post(self, client: FlaskClient | None = None, **fields: Any) -> TestResponse:
        """Send the giving form."""
        return (client or self.client()).post("/give", data=self.form(**fields))

    def give(self, card: str = "4242424242424242", **fields: Any) -> str:
        """Give on the form and pay on the hosted page; return where the donor lands."""
        answer = self.post(**fields)
        assert answer.status_code == 303, answer.text
        paid = self.sandbox.pay(answer.location, card=card)
        return str(paid.headers["Location"])

    def land(self, location: str, client: FlaskClient | None = None) -> TestResponse:
        """Open the page to which the donor is sent back."""
        return (client or self.client()).get(location.removeprefix(self.settings.public_url))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what the sandbox would tell us, oldest first."""
        return self.sandbox.events(kind)

    def send(self, event: dict[str, Any], **headers: str) -> TestResponse:
        """Send one event to the webhook, signed."""
        payload = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(payload, WEBHOOK_SECRET)
        return self.client().post(
            "/webhooks/stripe",
            data=payload,
            headers={"Stripe-Signature": signature, "Content-Type": "application/json"} | headers,
        )

    def send_all(self) -> None:
        """Send every event that was not sent before, and do the work that follows."""
        for event in self.events():
            if event["id"] not in self.delivered:
                self.delivered.add(event["id"])
                assert self.send(event).status_code == 200
        self.work()

    def work(self) -> None:
        """Do all queued work that is due."""
        tasks = build_tasks(self.settings, self.gateway, SmtpTransport(self.settings))
        for queue in (*Queue, *Queue):
            drain(self.engine, tasks, queue=queue)

    def rows(self, statement: "sa.Select[*tuple[Any, ...]]") -> list[Any]:
        """Return the rows of a query."""
        with reading_session(self.engine) as session:
            return list(session.execute(statement).all())

    def scalars(self, statement: "sa.Select[*tuple[Any, ...]]") -> list[Any]:
        """Return the first column of a query; rows of the ORM come detached."""
        with Session(self.engine, expire_on_commit=False) as session:
            return list(session.scalars(statement).all())

    def mails(self, to: str = "") -> list[dict[str, Any]]:
        """Return the mails that arrived at the relay, newest first."""
        return self.sandbox.mails(to)


def hidden(page: str, name: str) -> str:
    """Return the value of a hidden field."""
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    assert found, f"no hidden field {name}"
    return found[1]


@contextmanager
def opened_portal(database_url: str, sandbox: SandboxProcess, **more: str) -> Iterator[Portal]:
    """Open the application with *more* environment, designations and topics; then close it."""
    settings = settings_for(database_url, sandbox, **more)
    app = create_app(settings)
    gateway = app.extensions["gateway"]
    gateway.set_up(public_url="http://localhost:9", organisation=settings.organisation.name)
    sandbox.knobs(webhook_timing="never")
    portal = Portal(app, settings, sandbox, gateway)
    with writing_session(portal.engine) as session:
        base_data(session)
    yield portal
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
