"""The least that can stand in for Stripe: it opens pages to pay on, slowly if asked, and counts."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class StripeStub:
    """Answers on a port of its own, in threads of the benchmark's process."""

    def __init__(self) -> None:
        self.calls = 0
        self.delay_seconds = 0.0
        self.answers: Callable[[str], object | None] = lambda _target: None
        """What is said about an object when somebody reads it."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet for each answer: two would wait for each other, and so would the server.
            wbufsize = -1

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                self._say(200, stub.opened(form))

            def do_GET(self) -> None:
                found = stub.answers(self.path)
                self._say(200 if found else 404, found or {"error": {"message": "no such object"}})

            def _say(self, status: int, body: object) -> None:
                answer = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def opened(self, form: dict[str, list[str]]) -> dict[str, object]:
        """Count one call and return a page to pay on."""
        self.calls += 1
        time.sleep(self.delay_seconds)
        return {
            "id": f"cs_test_{self.calls:020d}",
            "object": "checkout.session",
            "url": f"https://checkout.stripe.com/c/pay/{self.calls}",
            "status": "open",
            "payment_status": "unpaid",
            "mode": form.get("mode", ["payment"])[0],
            "livemode": False,
            "created": int(time.time()),
            "expires_at": int(time.time()) + 7200,
            "metadata": {},
            "client_reference_id": form.get("client_reference_id", [None])[0],
            "payment_intent": None,
            "subscription": None,
            "customer": None,
            "invoice": None,
            "setup_intent": None,
        }

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
