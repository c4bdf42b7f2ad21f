"""Queue a message in the transaction of its cause."""

from functools import cache
from hashlib import sha256
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from donorportal import clock
from donorportal.mail.models import OutboxMessage


def queue(
    session: Session, kind: str, *, address: str, key: str, context: dict[str, Any], domain: str
) -> int | None:
    """Add one message to the caller's transaction; its id, or None if *key* is known already.

    *kind* is the template's folder, *context* is JSON for it, *domain* is the organisation's own.
    The Message-ID follows from *key*, so that every copy of the message carries the same one.
    """
    row = {
        "key": key,
        "kind": kind,
        "address": address,
        "context": context,
        "message_id": f"<{sha256(key.encode()).hexdigest()[:32]}@{domain}>",
        "created_at": clock.now(),
    }
    connection = session.connection()
    row_id: int | None = connection.execute(_insert(connection.dialect.name), row).scalar()
    return row_id


@cache
def _insert(dialect: str) -> ReturningInsert[Any]:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    table = cast("sa.Table", OutboxMessage.__table__)
    return insert(table).on_conflict_do_nothing(index_elements=["key"]).returning(table.c.id)
