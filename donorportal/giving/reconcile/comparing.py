"""Comparing objects of the payment service with our rows, a page at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from donorportal.giving.reconcile.kinds import Kind
from donorportal.payments.listing import Listed

Seen = Mapping[str, Listed | None]
"""Objects by id; None for one that we asked for and that the payment service does not know."""

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One difference, as far as one look shows.

    Attributes:
        object_id: At the payment service, or the ledger's source.
        expected: What the payment service says.
        found: What our books say.
        look_at: What the payment service is asked about in order to repair it.

    """

    kind: Kind
    object_id: str
    expected: str
    found: str
    gift_id: int | None = None
    look_at: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same difference when it is found again."""
        return (self.kind, self.object_id)


@dataclass(frozen=True, slots=True)
class Window:
    """The time of creation that one page covers; nothing else was created in it."""

    after: datetime | None
    until: datetime | None

    def covers(self, column: InstrumentedAttribute[Any]) -> sa.ColumnElement[bool]:
        """Return the condition that a row of ours was created in it."""
        after = sa.true() if self.after is None else column >= self.after
        return after if self.until is None else sa.and_(after, column <= self.until)


def rows_by(
    session: Session,
    column: InstrumentedAttribute[Any],
    values: Iterable[str | None],
    *columns: InstrumentedAttribute[Any],
) -> dict[str, Any]:
    """Return rows by the value of *column*, for those of the *values* that we have."""
    wanted = {value for value in values if value}
    if not wanted:
        return {}
    rows = session.execute(sa.select(column, *columns).where(column.in_(wanted)))
    return {row[0]: row for row in rows}


def say(*parts: object) -> str:
    """Return what one side says, short enough for a row."""
    return " ".join(str(part) for part in parts if part is not None)[:_SHOWN]


def known(seen: Seen) -> Sequence[Listed]:
    """Return the objects that the payment service knows."""
    return [one for one in seen.values() if one is not None]


def unknown(seen: Seen) -> list[str]:
    """Return the ids that the payment service does not know."""
    return [remote_id for remote_id, one in seen.items() if one is None]
