"""What the giving form offers: designations, and topics to hear about."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.db import reading_session
from donorportal.giving.models import Designation
from donorportal.updates.models import Topic

# Staff see a change on the form after at most so long.
_FRESH_SECONDS = 30.0


class DesignationOffer(NamedTuple):
    """A purpose that can be chosen."""

    code: str
    name: str
    description: str


class TopicOffer(NamedTuple):
    """Something to hear about."""

    code: str
    name: str
    how_often: str


@dataclass(frozen=True, slots=True)
class Offers:
    """Everything the form can offer, in the order in which it is shown."""

    designations: tuple[DesignationOffer, ...]
    topics: tuple[TopicOffer, ...]

    def designation_name(self, code: str) -> str:
        """Return a designation's name; its code when it has been closed since."""
        return next((offer.name for offer in self.designations if offer.code == code), code)


class Catalogue:
    """Keeps the offers in memory: they are on every giving page and hardly ever change."""

    def __init__(self) -> None:
        self._offers: Offers | None = None
        self._read_at = 0.0

    def offers(self, engine: sa.Engine) -> Offers:
        """Return the offers, read anew from the database when they are not fresh."""
        if self._offers is None or time.monotonic() - self._read_at > _FRESH_SECONDS:
            # In a session of its own: a request that may write must not begin its transaction here.
            with reading_session(engine) as session:
                self._offers, self._read_at = _read(session), time.monotonic()
        return self._offers


def _read(session: Session) -> Offers:
    designations = session.execute(
        sa.select(Designation.code, Designation.name, Designation.description)
        .where(Designation.closed_at.is_(None))
        .order_by(Designation.position, Designation.code)
    )
    topics = session.execute(
        sa.select(Topic.code, Topic.name, Topic.how_often).order_by(Topic.position, Topic.code)
    )
    return Offers(
        designations=tuple(DesignationOffer(*row) for row in designations),
        topics=tuple(TopicOffer(*row) for row in topics),
    )
