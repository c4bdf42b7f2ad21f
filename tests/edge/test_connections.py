"""K1 and K3: what happens on the wire, with nothing between the attacker and `serve`."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import requests
import sqlalchemy as sa

from donorportal.giving.models import Gift
from tests.live_site import LiveSite

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)

_SLOW_HEADERS = b"POST /give HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_SLOW_BODY = (
    b"POST /give HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\namount="
)


@contextmanager
def _open(site: LiveSite, count: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", site.port), 5))
            for _ in range(count)
        ]
        for line in lines:
            line.sendall(beginning)
        yield lines


def _answers(site: LiveSite, patience: float) -> bool:
    try:
        return requests.get(f"{site.url}/healthz", timeout=patience).ok
    except requests.RequestException:
        return False


@pytest.mark.parametrize("beginning", [_SLOW_HEADERS, _SLOW_BODY], ids=["headers", "body"])
def test_k1_measure(site: LiveSite, beginning: bytes) -> None:
    for count in (7, 60):
        with _open(site, count, beginning):
            time.sleep(0.5)
            began = time.monotonic()
            ok = _answers(site, 5)
            print(count, ok, time.monotonic() - began)
        began = time.monotonic()
        while not _answers(site, 1): pass
        print("recovered after", time.monotonic() - began)
