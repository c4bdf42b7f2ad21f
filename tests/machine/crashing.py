"""Crashes and other troubles on purpose, from outside of the program."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.mail.transport import MailDeferred, Outgoing
from donorportal.payments.gateway import GatewayUnavailable, Observation
from donorportal.payments.stripe_gateway import StripeGateway


class Crash(BaseException):
    """The process ends here, as far as the program can tell: nothing of ours catches it."""


@dataclass
class CrashPoint:
    """Ends whatever runs at one of the next commits, just before it or just after it."""

    engine: sa.Engine
    countdown: int = 0
    after: bool = False

    def arm(self, commits: int, *, after: bool) -> None:
        """Crash at the commit of this number from now on."""
        self.countdown, self.after = commits, after

    @contextmanager
    def watching(self) -> Iterator["CrashPoint"]:
        """See every commit until the block ends."""
        sa.event.listen(self.engine, "commit", self._before)
        sa.event.listen(Session, "after_commit", self._after)
        try:
            yield self
        finally:
            sa.event.remove(self.engine, "commit", self._before)
            sa.event.remove(Session, "after_commit", self._after)

    def _before(self, _connection: sa.Connection) -> None:
        if not self.after:
            self._count()

    def _after(self, session: Session) -> None:
        if self.after and session.get_bind() is self.engine:
            self._count()

    def _count(self) -> None:
        if self.countdown:
            self.countdown -= 1
            if not self.countdown:
                raise Crash


@dataclass
class ShakyGateway:
    """The real gateway, which sometimes gives no definite answer."""

    real: StripeGateway
    silent_for: int = 0

    def observe(self, object_id: str) -> Observation | None:
        """Ask, or give no answer."""
        if self.silent_for:
            self.silent_for -= 1
            raise GatewayUnavailable("no answer")
        return self.real.observe(object_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@dataclass
class PostOffice:
    """Takes mails away and keeps them; sometimes it wants them later."""

    deferring: int = 0
    taken: list[Outgoing] = field(default_factory=list)

    def send(self, outgoing: Outgoing) -> str:
        """Keep a mail, or put it off."""
        if self.deferring:
            self.deferring -= 1
            raise MailDeferred(421, "later, please")
        self.taken.append(outgoing)
        return "250 kept"
