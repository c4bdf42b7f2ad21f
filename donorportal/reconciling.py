"""Comparing the books with Stripe at a terminal: progress while it runs, then every difference."""

import sys
from datetime import datetime, time
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import reading_session
from donorportal.giving.reconcile import running
from donorportal.giving.reconcile.desk import Terminal
from donorportal.giving.reconcile.kinds import ABOUT, Kind
from donorportal.giving.reconcile.models import Difference, DifferenceState, ReconcileRun
from donorportal.giving.reconcile.walking import STEPS
from donorportal.payments.gateway import Gateway, GatewayRejected, GatewayUnavailable
from donorportal.webhooks.sweeping import take_in_undelivered

_AT_ONCE = 200
_VERDICTS = {
    DifferenceState.OPEN: "can be repaired",
    DifferenceState.PERSON: "needs a person",
    DifferenceState.REPAIRED: "repaired",
    DifferenceState.GONE: "gone",
    DifferenceState.EXPLAINED: "explained",
}


class NotNow(Exception):  # noqa: N818 - named for what happened
    """Nothing could be compared; the message says why and what to do."""


def at_terminal(
    engine: sa.Engine, gateway: Gateway, settings: Settings, *, since: datetime | None, fix: bool
) -> bool:
    """Compare, list what differs, and return whether Stripe and our books agree.

    Raises:
        NotNow: Stripe does not answer, or another comparison is under way.

    """
    if settings.reconcile == "off":
        click.echo("RECONCILE is off: differences are listed, and nothing is repaired.")
        fix = False
    begun = clock.now()
    try:
        if fix:
            new = take_in_undelivered(engine, gateway.listing)
            click.echo(f"{new} undelivered events of Stripe's were taken in for the workers.")
        run = _compare(engine, gateway, settings, since, fix)
    except running.RunUnderWay as other:
        raise NotNow(f"Another comparison is under way {other}.") from None
    except (GatewayUnavailable, GatewayRejected) as trouble:
        raise NotNow(f"Stripe could not be asked ({trouble}). The next run goes on.") from None
    _list(engine, begun)
    if run.left:
        click.echo(f"{run.walked:,} objects compared; {run.left:,} differences stand.")
    else:
        click.echo(f"{run.walked:,} objects compared. Stripe and our books agree.")
    return not run.left


def _compare(
    engine: sa.Engine, gateway: Gateway, settings: Settings, since: datetime | None, fix: bool
) -> ReconcileRun:
    zone = ZoneInfo(settings.organisation.time_zone)
    begins = datetime.combine(since.date(), time(), zone) if since else None
    # Only people look at the bar; what is piped elsewhere gets the list alone.
    with click.progressbar(length=len(STEPS), label="Comparing", file=sys.stderr) as bar:

        def tell(run: ReconcileRun) -> None:
            bar.label = f"{run.walked:,} objects, {run.step}"
            bar.update(run.steps_done - bar.pos)

        return running.compare(
            Terminal(engine),
            gateway,
            settings,
            actor="operator",
            repairs=fix,
            since=begins,
            tell=tell,
        )


def _list(engine: sa.Engine, begun: datetime) -> None:
    after, more = 0, True
    with reading_session(engine) as session:
        for row in running.closed_since(session, begun):
            click.echo(_line(row))
        while more:
            rows = running.standing(session, after=after, at_most=_AT_ONCE)
            for row in rows:
                click.echo(_line(row))
            more = len(rows) == _AT_ONCE
            after = rows[-1].id if rows else after


def _line(row: Difference) -> str:
    sides = f"Stripe: {row.expected}; our books: {row.found}"
    note = f" ({row.note})" if row.note else ""
    verdict = _VERDICTS[DifferenceState(row.state)]
    sentence = ABOUT[Kind(row.kind)].sentence
    return f"[{verdict}] {row.kind}: {row.object_id}. {sentence} {sides}.{note}"
