"""The sandbox's state: one SQLite file, one writer at a time, every object as its JSON."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Body = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  created INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, seq);
CREATE TABLE IF NOT EXISTS private (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS private_payout ON private (json_extract(body, '$.payout'), id)
  WHERE json_extract(body, '$.payout') IS NOT NULL;
CREATE TABLE IF NOT EXISTS timer (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, due INTEGER NOT NULL, clock TEXT, name TEXT NOT NULL,
  subject TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS timer_due ON timer (clock, due, seq);
CREATE TABLE IF NOT EXISTS delivery (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, endpoint TEXT NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL,
  answer TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, due, seq);
CREATE INDEX IF NOT EXISTS delivery_event ON delivery (event);
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS request (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, id TEXT NOT NULL,
  method TEXT NOT NULL, path TEXT NOT NULL, idempotency_key TEXT, status INTEGER NOT NULL,
  error TEXT);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# What objects are looked up by, as paths into their JSON.
_INDEXED = (
    "customer",
    "payment_intent",
    "charge",
    "invoice",
    "type",
    "source",
    "payment.payment_intent",
    "parent.subscription_details.subscription",
)
TABLES = ("object", "private", "timer", "delivery", "idempotency", "request", "setting")


class Store:
    """The SQLite file. All access goes through `transaction()`, one at a time."""

    def __init__(self, database: Path, *, checking: bool = True) -> None:
        self.path = database
        self.checking = checking
        self.emitted = threading.Condition()
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            database, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        for path in _INDEXED:
            self._connection.execute(
                f"CREATE INDEX IF NOT EXISTS object_{path.replace('.', '_')}"
                f" ON object (kind, json_extract(body, '$.{path}'), seq)"
            )

    @contextmanager
    def transaction(self, at: int | None = None) -> Iterator["Transaction"]:
        """Open the one write transaction, with `now` at the sandbox's clock or at `at`."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                tx = Transaction(self._connection)
                tx.checking = self.checking
                tx.now = at if at is not None else tx.global_now()
                yield tx
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        if tx.emitted:
            with self.emitted:
                self.emitted.notify_all()

    def any(self, query: str, *values: Any) -> bool:
        """Say whether a query finds a row, without a write transaction."""
        with self._lock:
            return self._connection.execute(query, values).fetchone() is not None

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()


class Transaction:
    """Reads and writes within one transaction; `now` is the time at which they happen."""

    now: int

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.sql = connection
        self.request: Body = {"id": None, "idempotency_key": None}
        self.emitted: list[str] = []
        self.checkout = False
        self.checking = True

    def global_now(self) -> int:
        """Return the sandbox's time: real time plus what was skipped."""
        return int(time.time()) + int(self.setting("clock_offset", 0))

    def enter_clock(self, clock: str | None) -> None:
        """Let this transaction happen at a test clock's frozen time, if there is one."""
        if clock:
            self.now = self.load(clock)["frozen_time"]

    def schedule(self, due: int, name: str, subject: str, clock: str | None = None) -> None:
        """Arrange for a timer to fire; replaces the same timer of the same subject."""
        self.unschedule(name, subject)
        self.sql.execute(
            "INSERT INTO timer (due, clock, name, subject) VALUES (?, ?, ?, ?)",
            (due, clock, name, subject),
        )

    def unschedule(self, name: str, subject: str) -> None:
        """Drop a timer."""
        self.sql.execute("DELETE FROM timer WHERE name = ? AND subject = ?", (name, subject))

    def insert(self, obj: Body) -> Body:
        """Store a new object."""
        kind, created = obj["object"], obj.get("created", self.now)
        self.sql.execute(
            "INSERT INTO object (id, kind, created, body) VALUES (?, ?, ?, ?)",
            (obj["id"], kind, created, json.dumps(obj)),
        )
        return obj

    def save(self, obj: Body) -> Body:
        """Store the changed object in place of the old one."""
        self.sql.execute("UPDATE object SET body = ? WHERE id = ?", (json.dumps(obj), obj["id"]))
        return obj

    def delete(self, object_id: str) -> None:
        """Forget an object."""
        self.sql.execute("DELETE FROM object WHERE id = ?", (object_id,))

    def load(self, object_id: str) -> Body:
        """Return an object that must exist. Raises: LookupError."""
        obj = self.peek(object_id)
        if obj is None:
            raise LookupError(object_id)
        return obj

    def peek(self, object_id: str | None, kind: str | None = None) -> Body | None:
        """Return an object, or None when it does not exist or is of another kind."""
        row = self.sql.execute(
            "SELECT body FROM object WHERE id = ? AND (? IS NULL OR kind = ?)",
            (object_id, kind, kind),
        ).fetchone()
        return None if row is None else self.parse(row["body"])

    def find(self, kind: str, **equal: Any) -> list[Body]:
        """Return the objects of a kind whose fields (`a__b` for nested) equal the values."""
        where, values = ["kind = ?"], [kind]
        for path, value in equal.items():
            where.append(f"json_extract(body, '$.{path.replace('__', '.')}') = ?")
            values.append(value)
        # The paths are written in this package; values are always bound.
        rows = self.sql.execute(
            f"SELECT body FROM object WHERE {' AND '.join(where)} ORDER BY seq",  # noqa: S608
            values,
        )
        return [self.parse(row["body"]) for row in rows]

    @staticmethod
    def parse(text: str) -> Body:
        """Read an object's JSON."""
        parsed: Body = json.loads(text)
        return parsed

    def private(self, object_id: str) -> Body:
        """Return what belongs to an object but is never answered, such as a card's behaviour."""
        row = self.sql.execute("SELECT body FROM private WHERE id = ?", (object_id,)).fetchone()
        return {} if row is None else self.parse(row["body"])

    def set_private(self, object_id: str, **fields: Any) -> None:
        """Add hidden fields to an object."""
        self.sql.execute(
            "INSERT OR REPLACE INTO private (id, body) VALUES (?, ?)",
            (object_id, json.dumps(self.private(object_id) | fields)),
        )

    def setting(self, name: str, default: Any = None) -> Any:
        """Return a setting of the sandbox itself."""
        row = self.sql.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row["value"])

    def set_setting(self, name: str, value: Any) -> None:
        """Change a setting of the sandbox itself."""
        self.sql.execute(
            "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)",
            (name, json.dumps(value)),
        )


def new_id(prefix: str) -> str:
    """Return a fresh identifier in Stripe's style."""
    return f"{prefix}_{secrets.token_hex(12)}"
