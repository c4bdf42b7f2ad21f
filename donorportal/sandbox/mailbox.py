"""Every message the SMTP listener accepted, kept until someone clears the mailbox."""

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from functools import cached_property
from pathlib import Path

from donorportal.sandbox.smtp_faults import SmtpFaults

SCHEMA = """
CREATE TABLE IF NOT EXISTS mailbox_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    envelope_from TEXT NOT NULL,
    recipients TEXT NOT NULL,
    raw BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS mailbox_recipient (
    address TEXT NOT NULL COLLATE NOCASE,
    message_id INTEGER NOT NULL,
    PRIMARY KEY (address, message_id)
) STRICT, WITHOUT ROWID;
"""
EVERY_ID = 2**63 - 1


@dataclass(frozen=True)
class Attachment:
    """A part of a message that is neither its text nor its HTML body."""

    name: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(frozen=True)
class StoredMail:
    """One message exactly as it arrived, with its envelope."""

    id: int
    received_at: datetime
    envelope_from: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Every header in its order, unfolded and decoded."""
        return [(name, _decoded(value)) for name, value in self._parsed.raw_items()]

    @property
    def subject(self) -> str:
        """The decoded subject, empty when there is none."""
        return self.header("Subject")

    @property
    def text(self) -> str | None:
        """The plain text body, or None."""
        return self._body("plain")

    @property
    def html(self) -> str | None:
        """The HTML body, or None."""
        return self._body("html")

    @property
    def attachments(self) -> list[Attachment]:
        """Attached files and pictures in their order."""
        bodies = (self._body_part("plain"), self._body_part("html"))
        parts = [part for part in self._leaves() if not any(part is body for body in bodies)]
        return [
            Attachment(
                name=part.get_filename() or f"part-{number}",
                content_type=part.get_content_type(),
                content_id=str(part.get("Content-ID", "")).strip("<> "),
                content=_content(part),
            )
            for number, part in enumerate(parts, start=1)
        ]

    def header(self, name: str) -> str:
        """One header decoded, empty when the message has none of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @cached_property
    def _parsed(self) -> Message:
        # The old policy on purpose: the new one raises on headers it cannot parse.
        return message_from_bytes(self.raw)

    def _leaves(self) -> list[Message]:
        return [part for part in self._parsed.walk() if not part.is_multipart()]

    def _body_part(self, subtype: str) -> Message | None:
        for part in self._leaves():
            if part.get_content_type() == f"text/{subtype}":
                return None if part.get_content_disposition() == "attachment" else part
        return None

    def _body(self, subtype: str) -> str | None:
        part = self._body_part(subtype)
        if part is None:
            return None
        charset = part.get_content_charset("utf-8")
        try:
            text = _content(part).decode(charset, "replace")
        except LookupError:
            text = _content(part).decode("latin-1")
        return text.replace("\r\n", "\n")


class Mailbox:
    """Messages in two SQLite tables of their own; safe to share between threads.

    The database file may be the sandbox's own. A message is on disk when `add` returns.
    `faults` are the knobs of the listener that fills it; they do not survive a restart.
    """

    def __init__(self, database: Path) -> None:
        self.faults = SmtpFaults()
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(database, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # The listener's 250 is a promise, and only FULL keeps it through a power cut.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(SCHEMA)

    def add(self, envelope_from: str, recipients: Sequence[str], raw: bytes) -> int:
        """Store one message durably and return its id; ids are never used again."""
        received_at = int(datetime.now(UTC).timestamp() * 1000)
        with self._lock, self._connection as connection:
            row = (received_at, envelope_from, json.dumps(list(recipients)), raw)
            cursor = connection.execute(
                "INSERT INTO mailbox_message (received_at, envelope_from, recipients, raw)"
                " VALUES (?, ?, ?, ?)",
                row,
            )
            message_id = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT OR IGNORE INTO mailbox_recipient (address, message_id) VALUES (?, ?)",
                [(address, message_id) for address in recipients],
            )
        return message_id

    def messages(
        self, recipient: str | None = None, limit: int = 100, *, before: int | None = None
    ) -> list[StoredMail]:
        """Return the newest messages first, only those with an id below `before` if given.

        `recipient` is a whole address of the envelope, in any case of letters.
        """
        condition = "id IN (SELECT message_id FROM mailbox_recipient WHERE address = :address)"
        return self._select(condition if recipient else "1", recipient or "", before, limit)

    def search(self, text: str, limit: int = 100, *, before: int | None = None) -> list[StoredMail]:
        """Return the newest messages of which a recipient's address contains `text`."""
        condition = (
            "id IN (SELECT message_id FROM mailbox_recipient"
            " WHERE instr(lower(address), lower(:address)))"
        )
        return self._select(condition, text, before, limit)

    def get(self, message_id: int) -> StoredMail | None:
        """Return one message, or None."""
        found = self._select("id = :address", str(message_id), None, 1)
        return found[0] if found else None

    def count(self) -> int:
        """Return how many messages are kept."""
        with self._lock:
            row = self._connection.execute("SELECT count(*) FROM mailbox_message").fetchone()
        return int(row[0])

    def clear(self) -> None:
        """Forget every message."""
        with self._lock, self._connection as connection:
            connection.execute("DELETE FROM mailbox_recipient")
            connection.execute("DELETE FROM mailbox_message")

    def close(self) -> None:
        """Close the database; the mailbox cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    def _select(
        self, condition: str, address: str, before: int | None, limit: int
    ) -> list[StoredMail]:
        # The condition is one of the constants above, never anything typed.
        statement = (
            "SELECT id, received_at, envelope_from, recipients, raw FROM mailbox_message"  # noqa: S608
            f" WHERE {condition} AND id < :before ORDER BY id DESC LIMIT :limit"
        )
        below = before if before is not None and 0 <= before < EVERY_ID else EVERY_ID
        values = {"address": address, "before": below, "limit": limit}
        with self._lock:
            rows = self._connection.execute(statement, values).fetchall()
        return [
            StoredMail(
                id=row[0],
                received_at=datetime.fromtimestamp(row[1] / 1000, UTC),
                envelope_from=row[2],
                recipients=tuple(json.loads(row[3])),
                raw=row[4],
            )
            for row in rows
        ]


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _decoded(value: str) -> str:
    unfolded = value.replace("\r", "").replace("\n", "")
    text = unfolded.encode("ascii", "surrogateescape").decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, UnicodeError, HeaderParseError):
        return text
