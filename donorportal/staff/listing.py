"""The rows that staff look at: the inbox, the jobs and the outbox, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import UtcDateTime
from donorportal.jobs.models import Job, JobState
from donorportal.mail.models import OutboxMessage, OutboxState

PAGE_LENGTH = 50
MOST_COUNTED = 1000
"""Counting further would cost more the older the installation is, and tell nobody anything."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of row: what is shown of it, and the states it can be in."""

    table: sa.FromClause
    shown: tuple[str, ...]
    states: tuple[str, ...]
    bad: frozenset[str]
    """States in which a row waits for a person."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, newest first, and where the neighbouring pages begin."""

    rows: Sequence[sa.RowMapping]
    newer_than: int | None
    """The id after which newer rows follow, None on the first page."""
    older_than: int | None
    """The id before which older rows follow, None on the last page."""


# The inbox belongs to the door on the other side of the house; we only know its columns.
_EVENTS = sa.table(
    "inbound_event",
    sa.column("id", sa.Integer),
    sa.column("event_id", sa.String),
    sa.column("type", sa.String),
    sa.column("object_id", sa.String),
    sa.column("api_version", sa.String),
    sa.column("payload", sa.Text),
    sa.column("state", sa.String),
    sa.column("note", sa.Text),
    sa.column("received_at", UtcDateTime()),
    sa.column("processed_at", UtcDateTime()),
)

INBOX = Listing(
    table=_EVENTS,
    shown=("id", "received_at", "type", "object_id", "event_id", "state", "note"),
    states=("received", "processed", "ignored", "quarantined"),
    bad=frozenset({"quarantined"}),
)
JOBS = Listing(
    table=Job.__table__,
    shown=("id", "created_at", "task", "queue", "run_at", "attempts", "state", "error"),
    states=tuple(JobState),
    bad=frozenset({JobState.DEAD}),
)
OUTBOX = Listing(
    table=OutboxMessage.__table__,
    shown=("id", "created_at", "kind", "address", "sent_at", "attempts", "state", "reply"),
    states=tuple(OutboxState),
    bad=frozenset({OutboxState.FAILED}),
)


def page(
    session: Session,
    listing: Listing,
    *,
    state: str | None = None,
    older_than: int | None = None,
    newer_than: int | None = None,
) -> Page:
    """Return one page of rows, all of them or those in one *state*."""
    columns = listing.table.c
    query = sa.select(*(columns[name] for name in listing.shown)).limit(PAGE_LENGTH + 1)
    if state is not None:
        query = query.where(columns.state == state)
    if newer_than is not None:
        query = query.where(columns.id > newer_than).order_by(columns.id)
    elif older_than is not None:
        query = query.where(columns.id < older_than).order_by(columns.id.desc())
    else:
        query = query.order_by(columns.id.desc())
    found = session.execute(query).mappings().all()
    rows, more = found[:PAGE_LENGTH], len(found) > PAGE_LENGTH
    if newer_than is not None:
        rows = rows[::-1]
        has_newer, has_older = more, True
    else:
        has_newer, has_older = older_than is not None, more
    return Page(
        rows=rows,
        newer_than=rows[0]["id"] if rows and has_newer else None,
        older_than=rows[-1]["id"] if rows and has_older else None,
    )


def counts(session: Session, listing: Listing) -> dict[str, int]:
    """Return how many rows are in each state, counting no further than MOST_COUNTED + 1."""
    columns = listing.table.c
    return {
        state: session.execute(
            sa.select(sa.func.count()).select_from(
                sa.select(columns.id)
                .where(columns.state == state)
                .limit(MOST_COUNTED + 1)
                .subquery()
            )
        ).scalar_one()
        for state in listing.states
    }


def event(session: Session, event_id: int) -> dict[str, Any] | None:
    """Return one event of the inbox with everything that came with it."""
    row = session.execute(sa.select(_EVENTS).where(_EVENTS.c.id == event_id)).mappings().first()
    return None if row is None else dict(row)
