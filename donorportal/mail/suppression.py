"""Who must not be written to: found by a keyed hash, which outlives the address."""

import hmac
import unicodedata
from typing import cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.mail.models import Suppression

RECEIPTS = "receipts"
"""The stream of receipts, codes and confirmations; updates are a stream of their own."""

_PURPOSE = b"donorportal suppression"


def suppress(
    session: Session, settings: Settings, *, address: str, stream: str, reason: str
) -> bool:
    """Write no more mail of *stream* to *address*; False if that is the case already."""
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        insert(cast("sa.Table", Suppression.__table__))
        .values(
            address_hash=_hashes(settings, address)[0],
            stream=stream,
            reason=reason,
            created_at=clock.now(),
        )
        .on_conflict_do_nothing()
        .returning(Suppression.stream)
    )
    return connection.execute(statement).first() is not None


def is_suppressed(session: Session, settings: Settings, *, address: str, stream: str) -> bool:
    """Say whether mail of *stream* must not go to *address*."""
    found = sa.exists().where(
        Suppression.address_hash.in_(_hashes(settings, address)), Suppression.stream == stream
    )
    return session.scalar(sa.select(found)) is True


def _hashes(settings: Settings, address: str) -> list[str]:
    """Return the hash under today's secret, and those under earlier ones.

    A hash cannot be made again without its address. So an earlier secret stays among the
    fallbacks for as long as the suppressions made under it are to hold.
    """
    spelling = unicodedata.normalize("NFC", address.strip()).casefold().encode()
    secrets = (settings.secret_key, *settings.secret_key_fallbacks)
    keys = [hmac.digest(secret.encode(), _PURPOSE, "sha256") for secret in secrets]
    return [hmac.digest(key, spelling, "sha256").hex() for key in keys]
