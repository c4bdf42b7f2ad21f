"""Keep the leases of work in hand, so that they may be short and a dead worker's end soon."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from donorportal import clock
from donorportal.db import writing_session
from donorportal.jobs.models import Job, JobState

log = structlog.get_logger()

_LONGEST_RUN = timedelta(minutes=30)
"""A task that takes longer is taken to hang (no timeout of ours adds up to this)."""


class Renewal:
    """Renews, from a thread of its own, the leases that one worker holds."""

    def __init__(self, engine: sa.Engine, owner: str, lease: timedelta) -> None:
        self._engine = engine
        self._owner = owner
        self._lease = lease
        self._held: Sequence[int] = ()
        self._since = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def hold(self, job_ids: Sequence[int]) -> None:
        """Renew these jobs from now on; the first of them begins to run."""
        self._held = job_ids
        self._since = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
            self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        while not self._stopped.wait(self._lease.total_seconds() / 3):
            if time.monotonic() - self._since > _LONGEST_RUN.total_seconds():
                continue
            try:
                self._renew()
            except SQLAlchemyError as error:
                # The lease may end before its task does; the fence then keeps one effect.
                log.warning("lease not renewed", jobs=self._held, error=type(error).__name__)

    def _renew(self) -> None:
        ours = (Job.id.in_(self._held), Job.owner == self._owner, Job.state == JobState.READY)
        with writing_session(self._engine) as session:
            session.execute(sa.update(Job).where(*ours).values(run_at=clock.now() + self._lease))
