"""What the relay says decides what happens to a message, however badly it says it."""

import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from donorportal.config import Settings
from donorportal.mail.render import Rendered
from donorportal.mail.transport import (
    MailDeferred,
    MailRefused,
    Outgoing,
    Patience,
    SmtpTransport,
)
from tests.mail.conftest import at
from tests.mail.relay import Behaviour, Relay

StartRelay = Callable[..., Relay]
OUTGOING = Outgoing(
    sender="Open Door <giving@opendoor.example>",
    recipient="ada@example.org",
    message_id="<1@opendoor.example>",
    words=Rendered("Your gift", "First.\n.\n..two dots\n", "<p>First.</p>\n"),
)


def test_an_accepted_message_arrives_as_written(
    mail_settings: Settings, start_relay: StartRelay
) -> None:
    """The relay gets our envelope and our bytes, dots included, and its answer is returned."""
    relay = start_relay()

    reply = SmtpTransport(at(mail_settings, relay)).send(OUTGOING)

    (accepted,) = relay.accepted
    assert reply == "250 taken as 1"
    assert (accepted.sender, accepted.recipient) == ("giving@opendoor.example", "ada@example.org")
    assert b"First.\r\n.\r\n..two dots\r\n" in accepted.octets
    assert relay.commands[0] == "ehlo opendoor.example"
    assert relay.commands[-1].upper() == "QUIT"


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(rcpt="550 5.1.1 no such user"),
        Behaviour(data="554 5.5.1 no"),
        Behaviour(final_dot="552 5.3.4 too big"),
    ],
)
def test_a_permanent_no_is_final(
    mail_settings: Settings, start_relay: StartRelay, behaviour: Behaviour
) -> None:
    """5xx for the recipient or the message is a refusal that carries the relay's words."""
    relay = start_relay(behaviour)

    with pytest.raises(MailRefused, match=r"^55[0-9] 5") as caught:
        SmtpTransport(at(mail_settings, relay)).send(OUTGOING)

    assert caught.value.code in {550, 552, 554}
    assert relay.accepted == []


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(greeting="421 busy"),
        Behaviour(greeting="554 go away"),
        Behaviour(greeting=None),
        Behaviour(mail="451 later"),
        Behaviour(mail="550 5.7.1 you may not send"),
        Behaviour(rcpt="450 4.2.1 greylisted"),
        Behaviour(rcpt=None),
        Behaviour(data="421 shutting down"),
        Behaviour(data=None),
        Behaviour(final_dot="451 4.3.0 disk full"),
        Behaviour(final_dot=None),
    ],
    ids=lambda behaviour: repr(behaviour)[10:60],
)
def test_anything_else_is_for_later(
    mail_settings: Settings, start_relay: StartRelay, behaviour: Behaviour
) -> None:
    """4xx, a relay that breaks off, and a relay that refuses *us* never lose a message."""
    relay = start_relay(behaviour)

    with pytest.raises(MailDeferred):
        SmtpTransport(at(mail_settings, relay)).send(OUTGOING)


@pytest.mark.parametrize("farewell", [None, "500 what", "221 bye"])
def test_once_taken_a_message_is_sent_however_the_farewell_goes(
    mail_settings: Settings, start_relay: StartRelay, farewell: str | None
) -> None:
    """The answer to the final dot is the result; a failing QUIT cannot cause a second copy."""
    relay = start_relay(Behaviour(quit=farewell))

    assert SmtpTransport(at(mail_settings, relay)).send(OUTGOING).startswith("250")
    assert len(relay.accepted) == 1


@pytest.mark.parametrize("silent_at", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "final dot"])
def test_a_silent_relay_is_left(
    mail_settings: Settings, start_relay: StartRelay, silent_at: str
) -> None:
    """A relay that stops answering costs a limited time and the message is kept for later."""
    relay = start_relay(Behaviour(silent_at=silent_at))
    patience = Patience(connect=0.3, command=0.3, final_dot=0.5)
    began = time.monotonic()

    with pytest.raises(MailDeferred, match=r"(?i)timed? ?out"):
        SmtpTransport(at(mail_settings, relay), patience).send(OUTGOING)

    assert time.monotonic() - began < 3


def test_after_the_final_dot_we_are_patient(
    mail_settings: Settings, start_relay: StartRelay
) -> None:
    """A relay may scan the message for longer than it may take to answer a command."""
    relay = start_relay(on_accepted=lambda: time.sleep(0.6))
    patience = Patience(connect=0.3, command=0.3, final_dot=5)

    assert SmtpTransport(at(mail_settings, relay), patience).send(OUTGOING).startswith("250")


def test_nobody_listening_is_for_later(mail_settings: Settings) -> None:
    """A relay that is down keeps the message."""
    with pytest.raises(MailDeferred, match="Refused"):
        SmtpTransport(mail_settings).send(OUTGOING)


def test_wrong_credentials_are_for_us_to_mend(
    mail_settings: Settings, start_relay: StartRelay
) -> None:
    """A relay that does not let us in says nothing about the message."""
    relay = start_relay(Behaviour(offers=("AUTH PLAIN",)))
    settings = at(mail_settings, relay, mail_username="us", mail_password="wrong")

    with pytest.raises(MailDeferred, match=r"535 5\.7\.8"):
        SmtpTransport(settings).send(OUTGOING)


def test_a_line_break_in_an_address_reaches_no_relay(
    mail_settings: Settings, start_relay: StartRelay
) -> None:
    """An address with a line break is refused before anybody is called."""
    relay = start_relay()
    outgoing = Outgoing(
        sender=OUTGOING.sender,
        recipient="ada@example.org>\r\nRCPT TO:<eve@example.org",
        message_id=OUTGOING.message_id,
        words=OUTGOING.words,
    )

    with pytest.raises(MailRefused):
        SmtpTransport(at(mail_settings, relay)).send(outgoing)

    assert relay.commands == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key for the name localhost, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    key = path.with_suffix(".key")
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", path),
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    return path


def _server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def test_encryption_that_was_asked_for_is_used(
    mail_settings: Settings,
    start_relay: StartRelay,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a certificate this machine trusts, for the relay's name, the message goes out."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    relay = start_relay(Behaviour(offers=("STARTTLS",)), tls=_server_side(certificate))
    settings = at(mail_settings, relay, mail_security="starttls", mail_server="localhost")

    assert SmtpTransport(settings).send(OUTGOING).startswith("250")
    assert relay.commands[1] == "STARTTLS"


def test_encryption_from_the_first_byte(
    mail_settings: Settings,
    start_relay: StartRelay,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relay on the port for TLS is spoken to in TLS only."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    relay = start_relay(tls=_server_side(certificate), implicit=True)
    settings = at(mail_settings, relay, mail_security="tls", mail_server="localhost")

    assert SmtpTransport(settings).send(OUTGOING).startswith("250")


def test_a_certificate_nobody_vouches_for_is_not_accepted(
    mail_settings: Settings, start_relay: StartRelay, certificate: Path
) -> None:
    """Whoever sits between us and the relay gets neither the password nor the message."""
    relay = start_relay(Behaviour(offers=("STARTTLS",)), tls=_server_side(certificate))
    settings = at(mail_settings, relay, mail_security="starttls", mail_server="localhost")

    with pytest.raises(MailDeferred, match="CERTIFICATE_VERIFY_FAILED"):
        SmtpTransport(settings).send(OUTGOING)

    assert relay.accepted == []


def test_a_certificate_for_another_name_is_not_accepted(
    mail_settings: Settings,
    start_relay: StartRelay,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trusted certificate must be the relay's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    relay = start_relay(Behaviour(offers=("STARTTLS",)), tls=_server_side(certificate))
    settings = at(mail_settings, relay, mail_security="starttls", mail_server="127.0.0.1")

    with pytest.raises(MailDeferred, match="CERTIFICATE_VERIFY_FAILED"):
        SmtpTransport(settings).send(OUTGOING)


def test_a_relay_without_encryption_gets_nothing(
    mail_settings: Settings, start_relay: StartRelay
) -> None:
    """Encryption is never given up silently."""
    relay = start_relay()
    settings = at(mail_settings, relay, mail_security="starttls")

    with pytest.raises(MailDeferred, match="STARTTLS"):
        SmtpTransport(settings).send(OUTGOING)

    assert relay.accepted == []
