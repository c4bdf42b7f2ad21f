"""Run the sandbox: HTTP, webhook deliveries, the passing of time, and the mail listener."""

import logging
import signal
import socket
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from flask import Flask

from donorportal.sandbox.app import create_sandbox
from donorportal.sandbox.http import Server
from donorportal.sandbox.mailbox import Mailbox
from donorportal.sandbox.smtp import start_smtp
from donorportal.sandbox.timers import fire_due, move_clocks

_log = logging.getLogger(__name__)
_TICK = 0.25


def run(
    *,
    database: Path,
    port: int,
    smtp_port: int | None,
    public_url: str | None = None,
    checking: bool = True,
) -> None:
    """Serve on the loopback address until SIGTERM or SIGINT; port 0 picks a free one."""
    door = socket.create_server(("127.0.0.1", port), backlog=512)
    port = door.getsockname()[1]
    mailbox = Mailbox(database.with_suffix(".mail"))
    url = public_url or f"http://localhost:{port}"
    app = create_sandbox(database, public_url=url, mailbox=mailbox, checking=checking)
    smtp = None if smtp_port is None else start_smtp(mailbox, smtp_port)
    server = Server(door, app.wsgi_app)
    if smtp is not None:
        print(f"mail listener on localhost:{smtp.port}", flush=True)  # noqa: T201
    print(f"sandbox listening on http://localhost:{port}", flush=True)  # noqa: T201
    _serve_until_told(server, app)
    if smtp is not None:
        smtp.stop()
    mailbox.close()


def _serve_until_told(server: Server, app: Flask) -> None:
    store, deliverer = app.extensions["sandbox"]
    over = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    deliverer.start()
    serving = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    serving.start()
    while not over.wait(_TICK):
        _tick(store)
    server.shutdown()
    deliverer.stop()
    store.close()


def _tick(store: Any) -> None:
    try:
        fire_due(store)
        move_clocks(store)
    except Exception:  # noqa: BLE001
        # One timer that cannot fire must not stop the clock for all the others.
        _log.exception("timer")
