"""Work to be done, as rows."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id


class Queue(StrEnum):
    """What is drained by a worker of its own, so that slow work never delays the rest."""

    DEFAULT = "default"
    MAIL = "mail"
    """A relay may take ten minutes to answer; a webhook must not wait for it."""


class JobState(StrEnum):
    """Where one job stands."""

    READY = "ready"
    """To be run at ``run_at``; while somebody works on it, ``run_at`` is the end of the lease."""
    DONE = "done"
    DEAD = "dead"
    """Given up after the last attempt; staff see it and can run it again."""


class Job(Base):
    """One piece of work, committed together with its cause."""

    __tablename__ = "job"

    id: Mapped[Id]
    queue: Mapped[str] = mapped_column(sa.String(20), default=Queue.DEFAULT)
    task: Mapped[str] = mapped_column(sa.String(60))
    args: Mapped[dict[str, Any]] = mapped_column(default=dict)
    key: Mapped[str | None] = mapped_column(sa.String(160), unique=True)
    """The same key is queued once for as long as its row is kept."""
    state: Mapped[str] = mapped_column(sa.String(5), default=JobState.READY)
    run_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=12)
    owner: Mapped[str | None] = mapped_column(sa.String(36))
    error: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint("state IN ('ready', 'done', 'dead')", name="state_known"),
        sa.Index(
            "ix_job_ready",
            "queue",
            "run_at",
            "id",
            sqlite_where=sa.text("state = 'ready'"),
            postgresql_where=sa.text("state = 'ready'"),
        ),
        sa.Index("ix_job_state", "state", "id"),
    )
