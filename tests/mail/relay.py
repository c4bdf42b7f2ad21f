"""A mail relay on loopback that does what a test tells it to, as real relays do."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Behaviour:
    """What the relay answers; every entry is the whole answer, or None to hang up instead."""

    greeting: str | None = "220 relay"
    mail: str | None = "250 ok"
    rcpt: str | None = "250 ok"
    data: str | None = "354 go on"
    final_dot: str | None = "250 taken as 1"
    quit: str | None = "221 bye"
    offers: tuple[str, ...] = ()
    """What EHLO lists."""
    silent_at: str | None = None
    """The command at which the relay stops answering without hanging up."""


@dataclass
class Accepted:
    """One message the relay has answered the final dot for."""

    sender: str
    recipient: str
    octets: bytes


@dataclass
class Relay:
    """The listening relay."""

    port: int
    behaviour: Behaviour
    accepted: list[Accepted] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


class RelayServer:
    """Runs a relay in threads until `stop`."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        """*implicit* encrypts from the first byte; otherwise *tls* waits for STARTTLS."""
        self._implicit = implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._on_accepted = on_accepted
        self._stopping = threading.Event()
        self.relay = Relay(self._listener.getsockname()[1], behaviour or Behaviour())
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """Hang up on everybody."""
        self._stopping.set()
        # Wakes the thread that waits in accept().
        with socket.create_connection(("127.0.0.1", self.relay.port)):
            pass
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, _HungUp):
            if self._implicit and self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            _Conversation(self.relay, self._tls, self._on_accepted, self._stopping).run(connection)


class _HungUp(Exception):  # noqa: N818 - named for what happened
    pass


class _Conversation:
    """One client."""

    def __init__(
        self,
        relay: Relay,
        tls: ssl.SSLContext | None,
        on_accepted: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        self._relay = relay
        self._tls = tls
        self._on_accepted = on_accepted
        self._stopping = stopping
        self._envelope = ["", ""]

    def run(self, connection: socket.socket) -> None:
        """Talk until somebody hangs up."""
        self._use(connection)
        try:
            self._answer("greeting", self._relay.behaviour.greeting)
            while line := self._file.readline():
                command = line.decode().strip()
                self._relay.commands.append(command)
                self._obey(command)
        finally:
            self._file.close()
            self._connection.close()

    def _use(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        self._connection = connection
        self._file = connection.makefile("rb")

    def _obey(self, command: str) -> None:
        verb, _, rest = command.partition(" ")
        verb = verb.upper()
        behaviour = self._relay.behaviour
        if verb in {"MAIL", "RCPT"}:
            self._envelope[verb == "RCPT"] = rest.partition("<")[2].partition(">")[0]
        lines = ["250-" + line for line in ("relay", *behaviour.offers)]
        lines[-1] = lines[-1].replace("250-", "250 ", 1)
        answers = {
            "EHLO": "\r\n".join(lines),
            "STARTTLS": "220 go on",
            "AUTH": "535 5.7.8 wrong password",
            "MAIL": behaviour.mail,
            "RCPT": behaviour.rcpt,
            "DATA": behaviour.data,
            "QUIT": behaviour.quit,
        }
        self._answer(verb, answers.get(verb, "502 no"))
        if verb == "STARTTLS" and self._tls is not None:
            self._file.close()
            self._use(self._tls.wrap_socket(self._connection, server_side=True))
        elif verb == "DATA" and (behaviour.data or "").startswith("354"):
            self._take()
        elif verb == "QUIT":
            raise _HungUp

    def _take(self) -> None:
        octets = bytearray()
        while (line := self._file.readline()) != b".\r\n":
            if not line:
                raise _HungUp
            octets += line.removeprefix(b".") if line.startswith(b"..") else line
        if (self._relay.behaviour.final_dot or "250").startswith("250"):
            self._relay.accepted.append(
                Accepted(self._envelope[0], self._envelope[1], bytes(octets))
            )
            self._on_accepted()
        self._answer("final dot", self._relay.behaviour.final_dot)

    def _answer(self, at: str, text: str | None) -> None:
        if self._relay.behaviour.silent_at == at:
            self._stopping.wait(10)
            raise _HungUp
        if text is None:
            raise _HungUp
        self._connection.sendall(text.encode() + b"\r\n")
