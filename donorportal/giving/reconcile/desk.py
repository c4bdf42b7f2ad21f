"""Where a comparison reads and writes: in a job, or at a terminal."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import reading_session, writing_session


class Desk(Protocol):
    """What a comparison needs of whoever runs it; a job's ``Run`` is one."""

    def reading(self) -> AbstractContextManager[Session]:
        """Open a short session that can only read."""

    def noting(self) -> AbstractContextManager[Session]:
        """Open a transaction."""


class Terminal:
    """The desk of a command."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a short session that can only read."""
        with reading_session(self._engine) as session:
            yield session

    @contextmanager
    def noting(self) -> Iterator[Session]:
        """Open a transaction."""
        with writing_session(self._engine) as session:
            yield session
