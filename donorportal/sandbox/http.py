"""A small threaded HTTP/1.1 server for one WSGI application, with connections kept open.

Werkzeug's development server closes after each answer, which would make every measurement of a
client that keeps its connection a measurement of TCP; gunicorn would make a second process.
"""

import io
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any
from urllib.parse import unquote
from wsgiref.types import WSGIApplication

HANG_UP = "sandbox.hang_up"


class Server(ThreadingHTTPServer):
    """Serves an application on a socket that already listens."""

    daemon_threads = True

    def __init__(self, door: socket, app: WSGIApplication) -> None:
        super().__init__(door.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = door
        self.server_name, self.server_port = "localhost", door.getsockname()[1]
        self.app = app

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    server: Server

    def do_GET(self) -> None:
        """Answer any method."""
        # The body is read whole, so that the next request on the connection starts cleanly.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = self._environ(body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            started.append((status, headers))
            return io.BytesIO().write

        output = self.server.app(environ, start_response)
        payload = b"".join(output)
        if (close := getattr(output, "close", None)) is not None:
            close()
        if environ.get(HANG_UP):
            self.close_connection = True
            return
        self._send(*started[-1], payload)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815

    def _send(self, status: str, headers: list[tuple[str, str]], payload: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        headers = {
            "HTTP_" + name.upper().replace("-", "_"): value for name, value in self.headers.items()
        }
        return headers | {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "iso-8859-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": self.client_address[0],
            "SERVER_NAME": "localhost",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def log_request(self, *_: Any) -> None:
        """Stay silent: the sandbox keeps a log of API requests."""
