"""The sandbox as tests use it: a real process, real HTTP, its hosted page walked like a donor."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from requests import Response, Session

_READY = re.compile(r"sandbox listening on http://localhost:(\d+)")
_MAIL = re.compile(r"mail listener on localhost:(\d+)")
_PATIENCE = 20
ROOT = Path(__file__).resolve().parent.parent


class SandboxProcess:
    """One sandbox over one database file; restarts keep the file and the ports."""

    def __init__(self, database: Path, *, smtp: bool = False, checking: bool = True) -> None:
        self.database = database
        self.smtp = smtp
        self.checking = checking
        self.port = 0
        self.smtp_port: int | None = None
        self._process: subprocess.Popen[str] | None = None
        self._http = Session()

    @property
    def url(self) -> str:
        """The origin of the API and of the pages."""
        return f"http://localhost:{self.port}"

    def start(self) -> "SandboxProcess":
        """Start the process and wait until it answers."""
        command = [sys.executable, "-m", "donorportal.sandbox", "--database", str(self.database)]
        command += ["--port", str(self.port)]
        if self.smtp:
            command += ["--smtp-port", str(self.smtp_port or 0)]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        if not self.checking:
            environment["SANDBOX_CHECK"] = "0"
        log = self.database.with_suffix(".log").open("a")
        with log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT
            )
        self._await_ready()
        return self

    def _await_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if mail := _MAIL.search(line):
                self.smtp_port = int(mail[1])
            if ready := _READY.search(line):
                self.port = int(ready[1])
                return
        log = self.database.with_suffix(".log").read_text()
        raise RuntimeError(f"The sandbox did not start:\n{log}")

    def stop(self) -> None:
        """End the process in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> "SandboxProcess":
        """Start again after stop() or kill(), on the same file and ports."""
        if self._process is not None:
            self.stop()
        return self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._http.close()
        self._process.send_signal(number)
        self._process.wait(_PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def post(self, path: str, **body: Any) -> Any:
        """Use a door of the control panel and return its JSON."""
        answer = self._http.post(f"{self.url}/_sandbox/{path}", json=body, timeout=120)
        assert answer.ok, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        """Read a door of the control panel."""
        return self._http.get(f"{self.url}/_sandbox/{path}", timeout=30).json()

    def reset(self) -> None:
        """Forget every object, event and mail; turn every knob back."""
        self.post("reset")
        assert self._http.post(f"{self.url}/mail/clear", timeout=30).ok
        self.mail_knobs()

    def mails(self, to: str = "") -> list[dict[str, Any]]:
        """Return the mails that arrived, newest first, those to an address if given."""
        answer = self._http.get(f"{self.url}/mail/messages.json", params={"to": to}, timeout=30)
        found: list[dict[str, Any]] = answer.json()
        return found

    def mail_knobs(self, **settings: Any) -> None:
        """Let the relay misbehave in these ways only; without any, in none."""
        answer = self._http.post(f"{self.url}/mail/knobs", json=settings, timeout=30)
        assert answer.ok, answer.text

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Return what the API lists, newest first: `charges`, `checkout/sessions` and so on."""
        answer = self._http.get(
            f"{self.url}/v1/{kind}", params={"limit": 100}, auth=("sk_test_list", ""), timeout=30
        )
        assert answer.ok, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def knobs(self, **settings: Any) -> dict[str, Any]:
        """Turn knobs; returns all of them."""
        turned: dict[str, Any] = self.post("knobs", **settings)
        return turned

    def fault(self, kind: str, **more: Any) -> None:
        """Let the next request (of a `method`, on a `path` prefix, `count` times) fail."""
        self.knobs(faults=[{"kind": kind, **more}])

    def advance(self, **span: int) -> None:
        """Let `days` or `seconds` pass, or time move `to` a moment."""
        self.post("advance", **span)

    def deliver(self, **which: Any) -> int:
        """Deliver pending webhooks now; returns how many were sent."""
        delivered: int = self.post("deliver", **which)["delivered"]
        return delivered

    def requests(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Return the API requests so far, those of a method and a path prefix if given."""
        return [
            r
            for r in self.get("requests")
            if r["method"].startswith(method) and r["path"].startswith(path)
        ]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return all events, oldest first, those of a type prefix if given."""
        return [e for e in self.get("events") if e["type"].startswith(kind)]

    def pay(
        self,
        checkout_url: str,
        card: str = "4242424242424242",
        *,
        email: str = "donor@example.org",
        name: str = "Sam Example",
        method: str = "card",
        authenticate: str = "complete",
        expiry: str = "12 / 34",
    ) -> Response:
        """Fill in and send the hosted page; returns the redirect, or the page with its error.

        A redirect to the 3-D Secure page is followed and answered with `authenticate`
        (`complete`, `fail`, or empty to stay on it); no redirect off the sandbox is followed.
        """
        fields = {"email": email, "name": name, "method": method}
        fields |= {"number": card, "expiry": expiry, "cvc": "123"}
        answer = self._http.post(checkout_url, data=fields, allow_redirects=False, timeout=60)
        target = urljoin(checkout_url, answer.headers.get("Location", ""))
        if answer.status_code == 303 and target.endswith("/3ds") and authenticate:
            return self._http.post(
                target, data={"answer": authenticate}, allow_redirects=False, timeout=60
            )
        return answer


def eventually(check: Any, *, within: float = 20.0) -> Any:
    """Call until the result is true, and return it; fails when that takes too long."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        result = check()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"Not within {within} s: {json.dumps(str(check))}")
