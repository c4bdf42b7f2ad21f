"""The listener's knobs: every way a mail relay can let a sender down."""

import smtplib
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp import SmtpListener

BODY = b"Subject: x\r\n\r\nhello\r\n"


def send(listener: SmtpListener, to: str = "b@example.org", timeout: float = 10) -> str:
    """Send one message over a fresh connection and return what became of it."""
    try:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=timeout) as client:
            client.sendmail("a@charity.example", [to], BODY)
    except smtplib.SMTPRecipientsRefused as error:
        return f"rcpt {error.recipients[to][0]}"
    except smtplib.SMTPResponseException as error:
        return f"{type(error).__name__} {error.smtp_code}"
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        return "disconnected"
    return "sent"


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [("mail", "SMTPSenderRefused 451"), ("rcpt", "rcpt 451"), ("data", "SMTPDataError 451")],
)
def test_a_reply_is_given_at_its_stage(
    web: FlaskClient, listener: SmtpListener, mailbox: Mailbox, stage: str, outcome: str
) -> None:
    """The scripted reply answers the next commands of its stage, then all is well again."""
    knobs = {"reply": "451 4.3.0 try later", "times": 2, "stage": stage}
    assert web.post("/mail/knobs", json=knobs).status_code == 200

    assert [send(listener) for _ in range(3)] == [outcome, outcome, "sent"]
    assert mailbox.count() == 1


def test_a_rejected_recipient_stays_rejected(
    web: FlaskClient, listener: SmtpListener, mailbox: Mailbox
) -> None:
    """Only the named address is refused, in any case of letters, every time."""
    web.post("/mail/knobs", json={"reject": {"Gone@example.org": "550 5.1.1 no such user"}})

    outcomes = [send(listener, to) for to in ("gone@example.org", "b@example.org")]

    assert outcomes == ["rcpt 550", "sent"]
    assert send(listener, "GONE@example.org") == "rcpt 550"
    assert mailbox.count() == 1


def test_dropped_before_the_dot_is_not_stored(
    web: FlaskClient, listener: SmtpListener, mailbox: Mailbox
) -> None:
    """The connection breaks while the message is being sent, and nothing is kept."""
    web.post("/mail/knobs", json={"drop_before_dot": 1})

    assert send(listener) == "disconnected"
    assert mailbox.count() == 0
    assert send(listener) == "sent"


def test_dropped_after_the_dot_is_stored(
    web: FlaskClient, listener: SmtpListener, mailbox: Mailbox
) -> None:
    """The message is kept although its sender never hears the answer."""
    web.post("/mail/knobs", json={"drop_after_dot": 1})

    assert send(listener) == "disconnected"
    assert mailbox.count() == 1


def test_hanging_delays_the_answer(
    web: FlaskClient, listener: SmtpListener, mailbox: Mailbox
) -> None:
    """The listener is silent for that long; a sender that gives up leaves no message."""
    web.post("/mail/knobs", json={"hang_seconds": 0.4, "times": 1})
    started = time.monotonic()
    assert send(listener) == "sent"
    assert time.monotonic() - started >= 0.4

    web.post("/mail/knobs", json={"hang_seconds": 60})
    assert send(listener, timeout=0.3) == "disconnected"
    assert mailbox.count() == 1


def test_421_hangs_up(web: FlaskClient, listener: SmtpListener) -> None:
    """After a 421 the connection is closed, as a relay that shuts down does."""
    web.post("/mail/knobs", json={"reply": "421 4.3.2 shutting down", "stage": "mail"})

    with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
        client.ehlo()
        assert client.mail("a@charity.example")[0] == 421
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()


def test_an_empty_document_ends_all_faults(web: FlaskClient, listener: SmtpListener) -> None:
    """Each document replaces the one before; the knobs in force can be read."""
    web.post("/mail/knobs", json={"drop_after_dot": 5, "reject": {"b@example.org": "550 no"}})
    assert web.get("/mail/knobs").get_json()["drop_after_dot"] == 5

    web.post("/mail/knobs", json={})

    assert send(listener) == "sent"


@pytest.mark.parametrize(
    "document",
    [
        {"unknown": 1},
        {"reply": "250 fine"},
        {"reply": "451 two\r\n250 lines"},
        {"reply": 451},
        {"stage": "ehlo"},
        {"stage": []},
        {"times": -1},
        {"times": True},
        {"drop_after_dot": 1.5},
        {"hang_seconds": "long"},
        {"hang_seconds": 1e9},
        {"reject": ["b@example.org"]},
        {"reject": {"b@example.org": "no"}},
        [],
        "x",
    ],
)
def test_senseless_knobs_are_refused(web: FlaskClient, mailbox: Mailbox, document: Any) -> None:
    """An unknown knob or value answers 400 with a reason and changes nothing."""
    web.post("/mail/knobs", json={"drop_after_dot": 3})

    answer = web.post("/mail/knobs", json=document)

    assert answer.status_code == 400
    assert answer.get_json()["error"]
    assert mailbox.faults.knobs["drop_after_dot"] == 3
