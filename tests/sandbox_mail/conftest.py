"""A mailbox with its SMTP listener and its pages, all real."""

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from donorportal.sandbox.app import create_sandbox
from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp import SmtpListener, start_smtp
from tests.sandbox_mail.filling import Stripe


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    """Give an empty mailbox in a file of its own."""
    box = Mailbox(tmp_path / "mailbox.db")
    yield box
    box.close()


@pytest.fixture
def listener(mailbox: Mailbox) -> Iterator[SmtpListener]:
    """Start the SMTP listener on a free port."""
    started = start_smtp(mailbox, 0)
    yield started
    started.stop()


@pytest.fixture
def connection(listener: SmtpListener) -> Iterator[smtplib.SMTP]:
    """Connect a client to the listener."""
    with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
        yield client


@pytest.fixture
def app(tmp_path: Path, mailbox: Mailbox) -> Iterator[Flask]:
    """Put the whole sandbox together, without its background work."""
    sandbox = create_sandbox(
        tmp_path / "sandbox.db", public_url="http://sandbox.example", mailbox=mailbox
    )
    yield sandbox
    store, _ = sandbox.extensions["sandbox"]
    store.close()


@pytest.fixture
def web(app: Flask) -> FlaskClient:
    """Give a client of the pages."""
    return app.test_client()


@pytest.fixture
def stripe(web: FlaskClient) -> Stripe:
    """Give something to fill the sandbox with."""
    return Stripe(web)


@pytest.fixture
def letter() -> EmailMessage:
    """Write a message with text, HTML, a picture inside it and an attachment."""
    message = EmailMessage()
    message["From"] = "Open Door <gifts@charity.example>"
    message["To"] = "Ann <ann@example.org>"
    message["Subject"] = "Grüße: your gift"
    message["List-Unsubscribe"] = "<https://charity.example/u/1>"
    message.set_content("Dear Ann,\nsee (https://charity.example/portal?a=1&b=2).\n<b>plain</b>\n")
    message.add_alternative(
        "<!doctype html><html><head><title>Gift</title></head><body>"
        '<a href="https://charity.example/portal">See it</a><img src="cid:door" alt="">'
        "<script>document.title='broken out'</script></body></html>",
        subtype="html",
    )
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG", maintype="image", subtype="png", cid="<door>")
    message.add_attachment(
        b"%PDF-1.7", maintype="application", subtype="pdf", filename="receipt.pdf"
    )
    return message
