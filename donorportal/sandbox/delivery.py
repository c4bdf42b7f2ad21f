"""Delivery of events: signed, retried with patience, continued after a restart."""

import hashlib
import hmac
import json
import logging
import sqlite3
import threading
import time
from typing import Any

import urllib3

from donorportal.sandbox import knobs
from donorportal.sandbox.storage import Body, Store, Transaction

_log = logging.getLogger(__name__)
_THREADS = 4
_IDLE = 0.2
_DUE = "state = 'pending' AND due <= ?"


class Deliverer:
    """Threads that send what is due; `flush` sends in the caller's thread."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._http = urllib3.PoolManager(maxsize=_THREADS, retries=False)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        with store.transaction() as tx:
            # What a killed process was sending is sent again: at least once, as Stripe promises.
            tx.sql.execute("UPDATE delivery SET state = 'pending' WHERE state = 'sending'")

    def start(self) -> None:
        """Begin to deliver in the background."""
        for number in range(_THREADS):
            thread = threading.Thread(target=self._run, name=f"deliver-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads; what is pending stays in the file."""
        self._stop.set()
        with self.store.emitted:
            self.store.emitted.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)
        self._http.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sent = self._anything_due() and self._send_one(_DUE, (time.time(),))
            except sqlite3.Error:
                _log.exception("delivery")
                sent = False
            if not sent:
                with self.store.emitted:
                    self.store.emitted.wait(_IDLE)

    def _anything_due(self) -> bool:
        return self.store.any(f"SELECT 1 FROM delivery WHERE {_DUE}", time.time())  # noqa: S608

    def flush(self, events: list[str] | None = None, *, held: bool = False) -> int:
        """Send now whatever is pending (of the named events), due or not; returns how many."""
        condition = "state IN ('pending', 'held')" if held else "state = 'pending'"
        values: tuple[Any, ...] = ()
        if events is not None:
            condition += f" AND event IN ({', '.join('?' * len(events))})"
            values = tuple(events)
        with self.store.transaction() as tx:
            rows = tx.sql.execute(
                f"SELECT seq FROM delivery WHERE {condition} ORDER BY due, seq",  # noqa: S608
                values,
            ).fetchall()
        sent = [self._send_one(f"seq = ? AND {condition}", (r["seq"], *values)) for r in rows]
        return sum(sent)

    def _send_one(self, condition: str, values: tuple[Any, ...]) -> bool:
        claimed = self._claim(condition, values)
        if claimed is None:
            return False
        seq, url, body, headers, timeout = claimed
        answer = self._post(url, body, headers, timeout)
        with self.store.transaction() as tx:
            _finish(tx, seq, answer)
        return True

    def _claim(
        self, condition: str, values: tuple[Any, ...]
    ) -> tuple[int, str, bytes, dict[str, str], float] | None:
        with self.store.transaction() as tx:
            row = tx.sql.execute(
                f"SELECT * FROM delivery WHERE {condition} ORDER BY due, seq LIMIT 1",  # noqa: S608
                values,
            ).fetchone()
            if row is None:
                return None
            event, endpoint = tx.peek(row["event"]), tx.peek(row["endpoint"])
            if event is None or endpoint is None or endpoint["status"] != "enabled":
                tx.sql.execute("DELETE FROM delivery WHERE seq = ?", (row["seq"],))
                return None
            tx.sql.execute(
                "UPDATE delivery SET state = 'sending', attempts = attempts + 1 WHERE seq = ?",
                (row["seq"],),
            )
            settings = knobs.read(tx)
            body, headers = _letter(event, tx.private(endpoint["id"])["secret"], settings)
            return row["seq"], endpoint["url"], body, headers, settings["webhook_timeout_seconds"]

    def _post(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> str:
        try:
            answer = self._http.request(
                "POST", url, body=body, headers=headers, timeout=timeout, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        return str(answer.status)


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """Return the `Stripe-Signature` header for a payload."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def _letter(event: Body, secret: str, settings: Body) -> tuple[bytes, dict[str, str]]:
    if settings["webhook_api_version"]:
        event = event | {"api_version": settings["webhook_api_version"]}
    body = json.dumps(event, indent=2).encode()
    if settings["webhook_wrong_signature"]:
        secret = secret[::-1]
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (sandbox)",
        # Signed with real time: the receiver's clock is not skipped ahead with ours.
        "Stripe-Signature": signature(body, secret, int(time.time())),
    }
    return body, headers


def _finish(tx: Transaction, seq: int, answer: str) -> None:
    row = tx.sql.execute("SELECT attempts FROM delivery WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        return
    state, due = "delivered", time.time()
    if not answer.startswith("2"):
        waits = knobs.read(tx)["webhook_retry_seconds"]
        if row["attempts"] <= len(waits):
            state, due = "pending", due + waits[row["attempts"] - 1]
        else:
            state = "failed"
    tx.sql.execute(
        "UPDATE delivery SET state = ?, due = ?, answer = ? WHERE seq = ?",
        (state, due, answer, seq),
    )


def redeliver(tx: Transaction, event: str, times: int) -> None:
    """Queue an event again for every endpoint that it was meant for, or for all there are."""
    rows = tx.sql.execute("SELECT DISTINCT endpoint FROM delivery WHERE event = ?", (event,))
    endpoints = [row["endpoint"] for row in rows] or [
        e["id"] for e in tx.find("webhook_endpoint", status="enabled")
    ]
    for endpoint in endpoints * times:
        tx.sql.execute(
            "INSERT INTO delivery (event, endpoint, state, due) VALUES (?, ?, 'pending', ?)",
            (event, endpoint, time.time()),
        )
