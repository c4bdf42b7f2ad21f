"""Hand a message to the relay: Flask-Mail's connection and message, with its gaps closed.

What is different from the library: verified TLS, time limits, a serialiser that leaves structured
headers alone, no line break in any of them, and a result that is decided when the relay answers
the final dot. It needs no Flask application, so a worker's thread can use it.
"""

import re
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any, Protocol, Self, cast

import flask_mail

from donorportal import clock
from donorportal.config import Settings
from donorportal.mail import wire
from donorportal.mail.render import Rendered

_LONGEST_REPLY = 500
_PERMANENT = 5


class MailRefused(Exception):  # noqa: N818 - named for what happened
    """The relay will never take this message for this address."""

    def __init__(self, code: int | None, reply: str) -> None:
        super().__init__(reply)
        self.code = code


class MailDeferred(Exception):  # noqa: N818 - named for what happened
    """The relay did not take the message now: try later."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one address."""

    sender: str
    """Display name and address, as in ``Open Door <giving@example.org>``."""
    recipient: str
    message_id: str
    words: Rendered
    headers: tuple[tuple[str, str], ...] = field(default=())
    """Further headers, written exactly as they are."""


class Transport(Protocol):
    """Takes messages away."""

    def send(self, outgoing: Outgoing) -> str:
        """Return the relay's answer once it has accepted the message.

        Raises:
            MailRefused: Never, for this message and address.
            MailDeferred: Not now.

        """


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds to wait; after the final dot RFC 5321 asks for ten minutes."""

    connect: float = 10
    command: float = 60
    final_dot: float = 600


class SmtpTransport:
    """Sends through the configured relay, with one connection for each message."""

    def __init__(self, settings: Settings, patience: Patience = Patience()) -> None:
        self._hello = settings.mail_domain
        self._patience = patience
        self._relay = flask_mail.Mail().init_mail(
            {
                "MAIL_SERVER": settings.mail_server,
                "MAIL_PORT": settings.mail_port,
                "MAIL_USERNAME": settings.mail_username,
                "MAIL_PASSWORD": settings.mail_password,
                "MAIL_USE_TLS": settings.mail_security == "starttls",
                "MAIL_USE_SSL": settings.mail_security == "tls",
                "MAIL_DEFAULT_SENDER": settings.mail_from,
            }
        )

    def greet(self) -> None:
        """Connect, secure the connection and sign in, and leave again without sending anything.

        Raises:
            MailDeferred: Any of it failed; the text says what.

        """
        with Connection(self._relay, self._hello, self._patience):
            pass

    def send(self, outgoing: Outgoing) -> str:
        """See `Transport.send`."""
        try:
            message = Message(outgoing)
            octets = message.as_bytes()
        except wire.Unwritable as error:
            raise MailRefused(None, str(error)) from error
        with Connection(self._relay, self._hello, self._patience) as connection:
            return connection.deliver(message.envelope_from, message.envelope_to, octets)


class Message(flask_mail.Message):
    """A message that goes out byte for byte as `wire` writes it."""

    def __init__(self, outgoing: Outgoing) -> None:
        name, address = parseaddr(outgoing.sender)
        super().__init__(
            subject=outgoing.words.subject,
            recipients=[outgoing.recipient],
            body=outgoing.words.text,
            html=outgoing.words.html,
            sender=(name, address),
        )
        self._outgoing = outgoing
        self._sender_name = name
        self.envelope_from = address
        self.envelope_to = _ascii_domain(outgoing.recipient)

    def as_bytes(self) -> bytes:
        """Write the message.

        Raises:
            wire.Unwritable: Something in it would end a header early.

        """
        words = self._outgoing.words
        # Taking the sender apart has dropped what must be refused.
        wire.refuse_breaks("From", self._outgoing.sender)
        text = "".join(
            [
                wire.mailbox_header("From", self._sender_name, self.envelope_from),
                wire.mailbox_header("To", "", self.envelope_to),
                wire.words_header("Subject", words.subject),
                wire.date_header(clock.now()),
                wire.header("Message-ID", self._outgoing.message_id),
                wire.header("Auto-Submitted", "auto-generated"),
                *(wire.header(name, value) for name, value in self._outgoing.headers),
                wire.header("MIME-Version", "1.0"),
                wire.alternatives(words.text, words.html, self._outgoing.message_id),
            ]
        )
        return text.encode("ascii")


class Connection(flask_mail.Connection):
    """A conversation with the relay that ends with a clear yes, no or later."""

    host: smtplib.SMTP

    def __init__(self, relay: Any, hello: str, patience: Patience) -> None:
        super().__init__(relay)
        self._hello = hello
        self._patience = patience

    def __enter__(self) -> Self:
        """Connect, secure the connection and sign in.

        Raises:
            MailDeferred: Any of it failed; that says nothing about the message.

        """
        try:
            self.host = self.configure_host()
        except (OSError, smtplib.SMTPException) as error:
            raise MailDeferred(_told(error)) from error
        return self

    def __exit__(self, *_error: object) -> None:
        # The relay has said yes or no; how it takes our leave changes nothing.
        with suppress(OSError, smtplib.SMTPException):
            if self.host.sock is not None:
                self.host.sock.settimeout(self._patience.connect)
            self.host.quit()
        self.host.close()

    def configure_host(self) -> smtplib.SMTP:
        """Open the connection as far as being signed in."""
        context = ssl.create_default_context()
        kind = _PatientTls if self.mail.use_ssl else _Patient
        host = kind(self.mail.server, self.mail.port, self._hello, self._patience, context)
        try:
            if self.mail.use_tls:
                host.starttls(context=context)
            if self.mail.username and self.mail.password:
                host.login(self.mail.username, self.mail.password)
            host.ehlo_or_helo_if_needed()
        except BaseException:
            host.close()
            raise
        return host

    def deliver(self, envelope_from: str, envelope_to: str, octets: bytes) -> str:
        """Run one transaction for one recipient and return the relay's last answer.

        Raises:
            MailRefused: The relay said 5xx to the recipient or to the message.
            MailDeferred: It said 4xx, refused our own address, or broke off.

        """
        try:
            self._expect(250, *self.host.mail(envelope_from), ours=True)
            self._expect(250, *self.host.rcpt(envelope_to))
            self._expect(354, *self.host.docmd("DATA"))
            self.host.send(_with_dots(octets))
            cast("socket.socket", self.host.sock).settimeout(self._patience.final_dot)
            return self._expect(250, *self.host.getreply())
        except (OSError, smtplib.SMTPException) as error:
            raise MailDeferred(_told(error)) from error

    def _expect(self, good: int, code: int, reply: bytes, *, ours: bool = False) -> str:
        text = f"{code} {_text(reply)}"
        # 251 takes a recipient too, for an address that has moved.
        if code == good or (good, code) == (250, 251):
            return text
        # A relay that refuses our sender address refuses everything: that is for us to mend,
        # and no reason to throw a receipt away.
        if code // 100 == _PERMANENT and not ours:
            raise MailRefused(code, text)
        raise MailDeferred(text)


class _Patient(smtplib.SMTP):
    """Connects within one limit and waits for answers within another."""

    def __init__(
        self,
        server: str,
        port: int,
        hello: str,
        patience: Patience,
        context: ssl.SSLContext,
    ) -> None:
        self._patience = patience
        self.context = context
        # Our own name is given, because looking it up may ask a slow name server.
        smtplib.SMTP.__init__(self, server, port, hello, timeout=patience.connect)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        connected.settimeout(self._patience.command)
        return connected


class _PatientTls(_Patient, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


def _with_dots(octets: bytes) -> bytes:
    """Double the dots that begin a line, and add the one that ends the message."""
    return re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n"


def _ascii_domain(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}" if local else address
    except UnicodeError:
        return address


def _told(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"[:_LONGEST_REPLY]


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:_LONGEST_REPLY]
