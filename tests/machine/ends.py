"""How every history ends: nothing is missing, nothing is there twice, whoever told us."""

from typing import Any

import sqlalchemy as sa

from donorportal.db import reading_session, writing_session
from donorportal.giving.models import Gift, RecurringGift
from donorportal.giving.reconcile.desk import Terminal
from donorportal.giving.reconcile.running import RunUnderWay, compare
from donorportal.mail.models import OutboxMessage
from donorportal.payments.gateway import GatewayUnavailable
from tests.machine import proving
from tests.machine.conftest import Databases
from tests.machine.world import World, running
from tests.portal_in_process import Portal

_OF_RUNS = ("reconcile_", "job")


def of(world: World, databases: Databases) -> list[str]:
    """End a history; return a sentence for each thing that is wrong.

    Webhooks alone suffice, delivered backwards and doubled; reconciliation finds nothing then, and
    alone it suffices, too: a database that knows only what donors asked for comes to the same.
    """
    world.come_to_rest()
    world.deliver_new(backwards=True, times=2)
    world.come_to_rest()
    found = [f"webhooks alone: {one}" for one in proving.at_rest(world)]
    if found:
        return found
    by_webhooks, mails = proving.state(world.portal), _mails(world.portal)
    reconcile(world)
    world.come_to_rest()
    found = proving.differences(by_webhooks, proving.state(world.portal))
    if found or mails != _mails(world.portal):
        return [f"reconciling changed: {one}" for one in found or ["mails"]]
    before = _everything(world.portal)
    reconcile(world)
    world.come_to_rest()
    if before != _everything(world.portal):
        return ["reconciling twice changed something"]
    return [f"reconciling alone: {one}" for one in _anew(world, databases, by_webhooks)]


def reconcile(world: World) -> None:
    """Compare everything with Stripe and repair, as the nightly job does."""
    portal = world.portal
    with world.surviving():
        try:
            compare(
                Terminal(portal.engine),
                world.gateway,
                portal.settings,
                actor="system",
                repairs=True,
            )
        except (GatewayUnavailable, RunUnderWay):
            return


def _anew(world: World, databases: Databases, expected: dict[str, Any]) -> list[str]:
    """Build the books again from what donors asked for and what Stripe says."""
    with running(databases(), world.sandbox) as portal:
        _ask_again(portal, world.asked)
        other = World(portal, world.traveller, world.crash_point, world.gateway, world.post_office)
        reconcile(other)
        other.come_to_rest()
        reconcile(other)
        other.come_to_rest()
        return proving.differences(expected, proving.state(portal))


def _ask_again(portal: Portal, asked: dict[str, list[dict[str, Any]]]) -> None:
    """Write the rows of gifts as they were before anything was paid, with the same numbers."""
    with writing_session(portal.engine) as session:
        for table in (RecurringGift, Gift):
            rows = asked.get(table.__tablename__, [])
            if rows:
                session.execute(sa.insert(table.__table__), rows)  # type: ignore[arg-type]
            if rows and portal.engine.dialect.name == "postgresql":
                highest = max(row["id"] for row in rows)
                sequence = sa.func.pg_get_serial_sequence(table.__tablename__, "id")
                session.execute(sa.select(sa.func.setval(sequence, highest)))


def _mails(portal: Portal) -> list[Any]:
    return sorted(portal.scalars(sa.select(OutboxMessage.key)))


def _everything(portal: Portal) -> dict[str, list[Any]]:
    """Return every row of every table, but those that say when we looked."""
    inspector = sa.inspect(portal.engine)
    names = [name for name in inspector.get_table_names() if not name.startswith(_OF_RUNS)]
    with reading_session(portal.engine) as session:
        return {
            name: sorted(map(str, session.execute(sa.text(f"SELECT * FROM {name}")).all()))
            for name in names
        }
