"""What operators watch: requests, and the age and number of waiting work."""

from functools import lru_cache

import sqlalchemy as sa
from prometheus_client import Counter, Histogram, generate_latest
from sqlalchemy.orm import InstrumentedAttribute

from donorportal import clock
from donorportal.giving.recovery.models import ChargeState, FailedCharge
from donorportal.giving.shield import readings
from donorportal.jobs.models import Job, JobState
from donorportal.ledger.models import LedgerHalt
from donorportal.mail.models import OutboxMessage
from donorportal.webhooks.models import EventState, InboundEvent

_REQUESTS = Counter("donorportal_requests", "Requests", ["endpoint", "method", "status"])
_SECONDS = Histogram("donorportal_request_seconds", "Time to answer", ["endpoint"])


def observe(endpoint: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    requests, duration = _children(endpoint, method, status)
    requests.inc()
    duration.observe(seconds)


@lru_cache(maxsize=1024)
def _children(endpoint: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Return the counters of one kind of request; looking them up takes a lock each time."""
    return _REQUESTS.labels(endpoint, method, str(status)), _SECONDS.labels(endpoint)


def exposition(connection: sa.Connection) -> bytes:
    """Return everything in Prometheus' text format."""
    lines = [f"donorportal_{name} {value}\n" for name, value in sorted(waiting(connection).items())]
    return generate_latest() + "".join(lines).encode()


def oldest_ready_job_seconds(connection: sa.Connection) -> float:
    """Return for how long the oldest due job has been waiting."""
    run_at = connection.scalar(
        sa.select(sa.func.min(Job.run_at)).where(Job.state == JobState.READY)
    )
    return max(0.0, (clock.now() - run_at).total_seconds()) if run_at else 0.0


def waiting(connection: sa.Connection) -> dict[str, float]:
    """Return how much work waits, failed, or was put aside for a person to look at."""

    def count(column: InstrumentedAttribute[str], value: str) -> float:
        return float(connection.scalar(sa.select(sa.func.count()).where(column == value)) or 0)

    return {
        "jobs_dead": count(Job.state, JobState.DEAD),
        "jobs_oldest_ready_seconds": oldest_ready_job_seconds(connection),
        "outbox_failed": count(OutboxMessage.state, "failed"),
        "outbox_queued": count(OutboxMessage.state, "queued"),
        "inbox_quarantined": count(InboundEvent.state, EventState.QUARANTINED),
        "inbox_received": count(InboundEvent.state, EventState.RECEIVED),
        "charges_failed_open": count(FailedCharge.state, ChargeState.OPEN),
        "charges_failed_recovered": count(FailedCharge.state, ChargeState.RECOVERED),
        "charges_failed_given_up": count(FailedCharge.state, ChargeState.GIVEN_UP),
        **readings.now(connection),
        "ledger_halted": float(
            connection.scalar(sa.select(sa.func.count(LedgerHalt.standing))) or 0
        ),
    }
