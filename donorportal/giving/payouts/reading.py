"""Reading what a payout is made of, page by page, and comparing it with our books."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.giving.payouts.matching import (
    Booked,
    book_other,
    booked,
    concern_about,
    is_settled_elsewhere,
)
from donorportal.giving.payouts.models import Payout, PayoutLine
from donorportal.giving.settlement import settle
from donorportal.jobs.running import Run
from donorportal.money import Money
from donorportal.payments.gateway import Gateway, GatewayRejected
from donorportal.payments.payouts import BalanceLine

_CAUSE = "line of a payout"


def read_lines(run: Run, gateway: Gateway, settings: Settings, *, payout: int) -> None:
    """Store every line of a payout, book what is missing, and say whether all of it agrees.

    Each page is a transaction of its own: memory does not grow with the payout, others can write
    in between, and after a crash reading goes on where it was.

    Raises:
        GatewayUnavailable: No definite answer; the job tries again later.

    """
    with run.reading() as session:
        row = session.get_one(Payout, payout)
        remote_id, after = row.remote_id, row.last_line
    more = True
    while more:
        page = gateway.payouts.lines(remote_id, after=after)
        # The payout itself is listed among what it is made of.
        lines = [line for line in page.lines if line.source_id != remote_id]
        _settle_missing(run, gateway, settings, lines)
        more = page.next_after is not None
        if page.lines:
            after = page.lines[-1].movement.transaction_id
        with run.noting() as session:
            _keep(session, payout, lines, settings)
            _remember(session, payout, after)
    with run.finishing() as session:
        conclude(session, payout)


def conclude(session: Session, payout_id: int) -> None:
    """Note whether the lines of a payout are in our books and add up to the deposit."""
    payout = session.scalars(
        sa.select(Payout).where(Payout.id == payout_id).with_for_update()
    ).one()
    total, odd = session.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(PayoutLine.net_minor), 0),
            sa.func.count(PayoutLine.concern),
        ).where(PayoutLine.payout_id == payout_id)
    ).one()
    payout.lines_minor = int(total)
    if payout.failure is not None:
        return
    payout.concern = None
    if payout.lines_minor != payout.amount_minor:
        summed = Money(payout.lines_minor, payout.currency)
        payout.concern = f"The lines add up to {summed.exact()}, not to {payout.amount.exact()}."
    elif odd:
        payout.concern = "1 line needs a look." if odd == 1 else f"{odd} lines need a look."


def _settle_missing(
    run: Run, gateway: Gateway, settings: Settings, lines: list[BalanceLine]
) -> None:
    """Settle what lines follow from where our books lack it: a late fee, a lost webhook."""
    for line in _missing(run, lines):
        # Settling one line may have settled others: a gift comes with all its refunds.
        if not _missing(run, [line]):
            continue
        try:
            seen = gateway.observe(line.source_id or "")
        except GatewayRejected:
            continue  # Not understood; the line says that it needs a look.
        if seen is not None:
            with run.noting() as session:
                settle(session, seen, cause=_CAUSE, settings=settings)


def _missing(run: Run, lines: list[BalanceLine]) -> list[BalanceLine]:
    """Return the lines that settlement should have booked and has not, or not so."""
    lines = [line for line in lines if is_settled_elsewhere(line)]
    with run.reading() as session:
        known = booked(session, lines)
    return [line for line in lines if concern_about(line, known.get(line.movement.transaction_id))]


def _keep(session: Session, payout_id: int, lines: list[BalanceLine], settings: Settings) -> None:
    for line in lines:
        if not is_settled_elsewhere(line):
            book_other(session, line, settings=settings)
    known = booked(session, lines)
    rows = [_row(payout_id, line, known.get(line.movement.transaction_id)) for line in lines]
    if rows:
        adding = upsert(session, PayoutLine)
        renewed = {name: adding.excluded[name] for name in ("gift_id", "concern")}
        session.execute(
            adding.on_conflict_do_update(index_elements=["remote_id"], set_=renewed), rows
        )


def _row(payout_id: int, line: BalanceLine, found: Booked | None) -> dict[str, object]:
    return {
        "payout_id": payout_id,
        "remote_id": line.movement.transaction_id,
        "kind": line.kind[:60],
        "category": line.category[:60],
        "source_id": line.source_id,
        "gift_id": found.gift_id if found else None,
        "moved_at": line.movement.moved_at,
        "gross_minor": line.movement.amount.minor,
        "fee_minor": line.movement.fee.minor,
        "net_minor": line.net.minor,
        "concern": concern_about(line, found),
    }


def _remember(session: Session, payout_id: int, last_line: str | None) -> None:
    session.execute(
        sa.update(Payout)
        .where(Payout.id == payout_id)
        .values(last_line=last_line)
        .execution_options(synchronize_session=False)
    )
