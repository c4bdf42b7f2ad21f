"""Taking events in: stored with their job at once, before anything else happens."""

from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from donorportal import clock
from donorportal.db import run_alone
from donorportal.jobs.models import Job, JobState, Queue
from donorportal.payments.gateway import ReceivedEvent
from donorportal.webhooks.models import EventState, InboundEvent

_ATTEMPTS = 12
_EVENTS = cast("sa.Table", InboundEvent.__table__)
_JOBS = cast("sa.Table", Job.__table__)


def take_in(engine: sa.Engine, event: ReceivedEvent) -> bool:
    """Store an event and queue its processing; False if it was stored before.

    Stripe sends most events at the moment when donors are waiting for us, so PostgreSQL does both
    in one statement and one round trip. SQLite has no such statement and needs a transaction.
    """
    values = {
        "event_id": event.event_id,
        "type": event.type,
        "object_id": event.object_id,
        "api_version": event.api_version,
        "livemode": event.livemode,
        "account": event.account,
        "payload": event.payload,
        "now": clock.now(),
    }
    if engine.dialect.name == "postgresql":
        return bool(run_alone(engine, _STORE_AND_QUEUE, values))
    with engine.begin() as connection:
        row_id = connection.execute(_STORE, values).scalar()
        if row_id is None:
            return False
        connection.execute(_QUEUE, {"row_id": row_id, "now": values["now"]})
        return True


def _stored(insert: Any) -> Any:
    """Return the statement that stores an event once."""
    names = ("event_id", "type", "object_id", "api_version", "livemode", "account", "payload")
    columns = {name: sa.bindparam(name, type_=_EVENTS.c[name].type) for name in names}
    return (
        insert(_EVENTS)
        .values(state=EventState.RECEIVED, received_at=_now(), **columns)
        .on_conflict_do_nothing(index_elements=["event_id"])
        .returning(_EVENTS.c.id)
    )


def _now() -> sa.BindParameter[Any]:
    return sa.bindparam("now", type_=_EVENTS.c.received_at.type)


def _job(row_id: Any, args: Any) -> dict[str, Any]:
    return {
        "queue": sa.literal(Queue.DEFAULT),
        "task": sa.literal("webhooks.process"),
        "args": args,
        "key": sa.literal("event:") + sa.cast(row_id, sa.String),
        "state": sa.literal(JobState.READY),
        "run_at": _now(),
        "attempts": sa.literal(0),
        "max_attempts": sa.literal(_ATTEMPTS),
        "created_at": _now(),
    }


def _stored_and_queued() -> Any:
    stored = _stored(postgresql.insert).cte("stored")
    job = _job(stored.c.id, sa.func.jsonb_build_object("event", stored.c.id))
    return (
        sa.insert(_JOBS)
        .from_select(list(job), sa.select(*job.values()), include_defaults=False)
        .returning(_JOBS.c.id)
    )


def _queued() -> Any:
    row_id = sa.bindparam("row_id", type_=_EVENTS.c.id.type)
    return sa.insert(_JOBS).values(_job(row_id, sa.func.json_object("event", row_id)))


_STORE = _stored(sqlite.insert)
_QUEUE = _queued()
_STORE_AND_QUEUE = _stored_and_queued()
