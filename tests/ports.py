"""Ports for servers that tests start."""

import socket


def free_port() -> int:
    """Return a port of this machine that nobody listens on.

    The system hands them out in turn, so two processes that ask at once get different ones. A
    server that looks for a port itself, always from the same number up, does not have that.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
