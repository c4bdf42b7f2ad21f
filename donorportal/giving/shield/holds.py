"""What is in force for a while: blocks, and the work asked of everybody."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import reading_session, run_alone, upsert
from donorportal.giving.shield.models import ShieldHold

SITE = "site"
"""The form asks every visitor for proof of work."""
OFF = "site-off"
"""Staff want it not to ask, whatever the counts say."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing in force."""

    since: datetime
    until: datetime
    why: str
    refused_before: int


def standing(session: Session, keys: Collection[str]) -> dict[str, Hold]:
    """Return what is in force now, by key."""
    rows = session.connection().execute(_read(len(keys)), _values(keys))
    return {row.key: Hold(row.since, row.until, row.why, row.refused_before) for row in rows}


def standing_now(engine: sa.Engine, keys: Collection[str]) -> dict[str, Hold]:
    """Return the same at the start of a request, before there is a transaction."""
    if engine.dialect.name == "sqlite":
        # There even a single statement of its own would wait for the lock of a writer.
        with reading_session(engine) as session:
            return standing(session, keys)
    rows = run_alone(engine, _read(len(keys)), _values(keys))
    return {key: Hold(*rest) for key, *rest in rows}


def hold(
    session: Session, key: str, lasting: timedelta, *, why: str, refused_before: int = 0
) -> None:
    """Put *key* in force, or let it last longer; what is over begins anew."""
    now = clock.now()
    asked = upsert(session, ShieldHold).values(
        key=key, since=now, until=now + lasting, why=why, refused_before=refused_before
    )
    old, new = ShieldHold.__table__.c, asked.excluded
    over = old.until <= now
    longer = sa.or_(over, old.until < new.until)
    session.connection().execute(
        asked.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "since": sa.case((over, new.since), else_=old.since),
                "refused_before": sa.case((over, new.refused_before), else_=old.refused_before),
                "why": sa.case((longer, new.why), else_=old.why),
                "until": sa.case((longer, new.until), else_=old.until),
            },
        )
    )


def end(session: Session, *keys: str) -> int:
    """End what is in force under *keys*; return how many there were."""
    return _end(session, ShieldHold.key.in_(keys))


def release_everybody(session: Session) -> int:
    """End every block of a visitor; what concerns the whole site stays."""
    return _end(session, ShieldHold.key.not_in([SITE, OFF]))


def blocked(session: Session) -> int:
    """Return how many blocks of visitors are in force."""
    count = sa.select(sa.func.count()).where(
        ShieldHold.until > clock.now(), ShieldHold.key.not_in([SITE, OFF])
    )
    return session.scalar(count) or 0


@lru_cache
def _read(number: int) -> sa.Select[*tuple[Any, ...]]:
    """Return the statement for so many keys; built once, since every gift begins with it."""
    keys = [sa.bindparam(f"key_{n}", type_=sa.String()) for n in range(number)]
    return sa.select(
        ShieldHold.key,
        ShieldHold.since,
        ShieldHold.until,
        ShieldHold.why,
        ShieldHold.refused_before,
    ).where(
        sa.or_(*(ShieldHold.key == key for key in keys)), ShieldHold.until > sa.bindparam("now")
    )


def _values(keys: Collection[str]) -> dict[str, Any]:
    return {f"key_{n}": key for n, key in enumerate(keys)} | {"now": clock.now()}


def _end(session: Session, which: sa.ColumnElement[bool]) -> int:
    now = clock.now()
    ended = session.connection().execute(
        sa.update(ShieldHold).where(which, ShieldHold.until > now).values(until=now)
    )
    return int(ended.rowcount)
