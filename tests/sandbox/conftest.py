"""One sandbox process for each worker, emptied before every test, and a receiver of webhooks."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandboxproc import SandboxProcess
from tests.stripeparams import API_VERSION


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """The process, shared; use `sandbox`."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox") / "sandbox.db").start()
    yield process
    process.stop()


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess) -> SandboxProcess:
    """An empty sandbox."""
    sandbox_process.post("reset")
    return sandbox_process


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox that a test may stop and kill."""
    process = SandboxProcess(tmp_path / "sandbox.db").start()
    yield process
    process.stop()


@pytest.fixture
def client(sandbox: SandboxProcess) -> stripe.StripeClient:
    """The real SDK, pointed at the sandbox."""
    return client_of(sandbox)


def client_of(sandbox: SandboxProcess) -> stripe.StripeClient:
    """Return an SDK client without automatic retries."""
    return stripe.StripeClient(
        "sk_test_sandbox", stripe_version=API_VERSION, base_addresses={"api": sandbox.url}
    )


@dataclass
class Receiver:
    """A webhook endpoint that writes down what it is sent and answers as it is told."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[bytes, str]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """Return the events received so far, in order of arrival."""
        return [json.loads(body) for body, _ in list(self.received)]

    def types(self) -> list[str]:
        """Return their types."""
        return [event["type"] for event in self.events()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint on an ephemeral port."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.received.append((body, self.headers["Stripe-Signature"]))
            self.send_response(state.answers.pop(0) if state.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def secret(client: stripe.StripeClient, receiver: Receiver) -> str:
    """The signing secret of an endpoint at the receiver that asked for everything."""
    endpoint = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    assert endpoint.secret is not None
    return endpoint.secret
