"""An SMTP listener on loopback that keeps every message in the mailbox."""

import asyncio
import socket
import threading
from typing import Any, AnyStr

from aiosmtpd.smtp import SMTP, Envelope, Session

from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp_faults import Stage

HOST = "127.0.0.1"
GREETING_NAME = "sandbox.localhost"


def start_smtp(mailbox: Mailbox, port: int) -> "SmtpListener":
    """Listen on 127.0.0.1 in a thread of its own; port 0 takes a free one.

    Raises:
        OSError: the port is taken.

    """
    return SmtpListener(mailbox, port)


class SmtpListener:
    """A listening server on `port`; `stop` ends it and every connection to it."""

    def __init__(self, mailbox: Mailbox, port: int) -> None:
        self._mailbox = mailbox
        # Bound here, so that a taken port is the caller's error and connections may queue at once.
        self._door = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._door.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="smtp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, drop open connections and wait for the thread; twice is harmless."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        # Closing the runner cancels what is still connected.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: _Protocol(self._mailbox, self._loop), sock=self._door
        )
        await self._stopping.wait()
        server.close()


class _Protocol(SMTP):
    """One connection, speaking everything aiosmtpd does."""

    def __init__(self, mailbox: Mailbox, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Handler(mailbox),
            hostname=GREETING_NAME,
            ident="sandbox",
            enable_SMTPUTF8=True,
            loop=loop,
        )
        self._faults = mailbox.faults

    async def push(self, status: AnyStr) -> None:
        """Answer, and hang up after a 421 as RFC 5321 says a server does."""
        await super().push(status)
        if status[:3] in ("421", b"421"):
            raise asyncio.CancelledError

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 (aiosmtpd's name)
        """Receive a message, unless this one is to break in the middle."""
        if self.envelope and self.envelope.rcpt_tos and self._faults.drops_before_dot():
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.readline()
            raise asyncio.CancelledError
        await super().smtp_DATA(arg)


class _Handler:
    """aiosmtpd's hooks. Its loop closes the connection unanswered on CancelledError."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._faults = mailbox.faults

    async def handle_EHLO(  # noqa: N802
        self,
        _server: SMTP,
        session: Session,
        _envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Offer PIPELINING too: commands are read one by one from a buffered stream."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept any sender."""
        refusal = await self._fault("mail")
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Accept any recipient that no knob rejects."""
        refusal = await self._fault("rcpt") or self._faults.rejection(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store the message durably before saying so."""
        refusal = await self._fault("data")
        if refusal:
            return refusal
        sender = (envelope.mail_from or "").strip("<>")
        content = envelope.original_content or b""
        message_id = await asyncio.to_thread(self._mailbox.add, sender, envelope.rcpt_tos, content)
        if self._faults.drops_after_dot():
            raise asyncio.CancelledError
        return f"250 2.0.0 stored as {message_id}"

    async def _fault(self, stage: Stage) -> str | None:
        seconds, reply = self._faults.at(stage)
        if seconds:
            await asyncio.sleep(seconds)
        return reply
