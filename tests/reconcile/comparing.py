"""Comparing everything in a test, and what stands afterwards."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from donorportal.db import Base
from donorportal.giving.reconcile import running
from donorportal.giving.reconcile.desk import Terminal
from donorportal.giving.reconcile.models import STANDING, Difference, ReconcileRun
from tests.portal_in_process import Portal

_APART = {"reconcile_run", "reconcile_day", "reconcile_mark"}


def reconcile(
    portal: Portal, *, fix: bool = False, since: datetime | None = None, **more: Any
) -> ReconcileRun:
    """Compare everything, as the command does."""
    return running.compare(
        Terminal(portal.engine),
        portal.gateway,
        portal.settings,
        actor="operator",
        repairs=fix,
        since=since,
        **more,
    )


def standing(portal: Portal) -> dict[str, list[str]]:
    """Return what stands, by kind."""
    found: dict[str, list[str]] = {}
    query = sa.select(Difference).where(Difference.state.in_(STANDING)).order_by(Difference.id)
    for row in portal.scalars(query):
        found.setdefault(row.kind, []).append(row.object_id)
    return found


def everything(portal: Portal) -> dict[str, list[str]]:
    """Return every row of every table, those of the runs themselves apart."""
    with portal.engine.connect() as connection:
        return {
            table.name: sorted(str(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in Base.metadata.sorted_tables
            if table.name not in _APART
        }
