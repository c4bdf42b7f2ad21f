"""K1 and K3: what happens on the wire, with nothing between the attacker and `serve`."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests
import sqlalchemy as sa

from donorportal.giving.models import Gift
from tests.live_site import LiveSite

pytestmark = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)

_THREADS = 8
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
def test_k1_slow_connections_take_threads_and_nothing_else(
    site: LiveSite, beginning: bytes
) -> None:
    """K1: fewer slow connections than threads disturb nobody; more do, until they are gone.

    This is why production needs a proxy that collects requests before it passes them on. What
    slow connections never do is to leave something behind: a row, a thread, a stuck server.
    """
    with _open(site, _THREADS - 1, beginning):
        assert _answers(site, 5)
    with _open(site, 60, beginning) as lines:
        silenced = not _answers(site, 0.5)
        for line in lines:
            line.close()
    began = time.monotonic()
    site.until(lambda: _answers(site, 1), "the site to answer again")

    assert silenced, "gunicorn copes by itself now: say so in the README"
    assert time.monotonic() - began < 5
    assert 0 == site.scalar(sa.select(sa.func.count()).select_from(Gift))


_INSIDE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_CHUNKED = b"0\r\n\r\n" + _INSIDE
_PAIRS = {
    "length and chunked": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", _CHUNKED),
    "chunked and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5", _CHUNKED),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: %d" % len(_INSIDE), _INSIDE),
    "a list of lengths": (b"Content-Length: 0, %d" % len(_INSIDE), _INSIDE),
    "a signed length": (b"Content-Length: +0", _INSIDE),
    "a length in other digits": ("Content-Length: \u0663".encode(), _INSIDE),
    "unknown coding": (b"Transfer-Encoding: xchunked", _CHUNKED),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", _CHUNKED),
    "chunked, then not": (b"Transfer-Encoding: chunked, identity", _CHUNKED),
    "space before the colon": (b"Transfer-Encoding : chunked", _CHUNKED),
    "folded": (b"Transfer-Encoding:\r\n chunked", _CHUNKED),
    "tab": (b"Transfer-Encoding:\x0bchunked", _CHUNKED),
    "underscore": (b"Content_Length: 0\r\nContent-Length: %d" % len(_INSIDE), _INSIDE),
    "chunk size in another base": (b"Transfer-Encoding: chunked", b"0x0\r\n\r\n" + _INSIDE),
    "chunk size with a sign": (b"Transfer-Encoding: chunked", b"-0\r\n\r\n" + _INSIDE),
    "bare line ends": (b"Content-Length: 0\nX: y", _INSIDE),
}


def test_k3_what_two_parsers_could_read_differently_is_refused(site: LiveSite) -> None:
    """K3: a request whose end is ambiguous is refused, and nothing after it is answered."""
    found = {name: _statuses(site, *pair) for name, pair in _PAIRS.items()}

    assert {} == {name: seen for name, seen in found.items() if seen not in (["400"], ["501"])}


def _statuses(site: LiveSite, headers: bytes, rest: bytes) -> list[str]:
    """Send one ambiguous request with another inside and return the status of every answer."""
    with socket.create_connection(("127.0.0.1", site.port), 5) as line:
        line.sendall(b"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\n" + headers)
        line.sendall(b"\r\n\r\n" + rest)
        line.settimeout(1)
        answer = b""
        with suppress(OSError):
            while more := line.recv(65_536):
                answer += more
    return [status.decode() for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]
