"""One dispute: our row follows the payment service, and the ledger follows its movements.

Money that a bank takes back waits on an account of its own until the bank has decided. What is
then still missing is taken from the gift, on the day of the decision; a later decision to the
contrary is one more entry.
"""

from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.giving.clearing import post_costs
from donorportal.giving.events import note
from donorportal.giving.models import Gift
from donorportal.giving.returns import tasks, telling
from donorportal.giving.returns.models import DisputeMovement, DisputeRecord
from donorportal.ledger import accounts
from donorportal.ledger.posting import Line, move, post
from donorportal.money import Money
from donorportal.payments.returns import Dispute, DisputeKind, DisputeState, Movement

_DECIDED = (DisputeState.WON, DisputeState.LOST, DisputeState.CLOSED)


def follow(
    session: Session, gift: Gift, dispute: Dispute, *, cause: str, settings: Settings
) -> None:
    """Bring one dispute in line with what the payment service says; post its movements."""
    row = session.scalar(
        sa.select(DisputeRecord).where(DisputeRecord.remote_id == dispute.remote_id)
    )
    is_new = row is None
    if row is None:
        row = _new(gift, dispute, settings)
        session.add(row)
        session.flush()  # Its movements name it.
    known = set(
        session.scalars(
            sa.select(DisputeMovement.remote_id).where(DisputeMovement.dispute_id == row.id)
        )
    )
    if _is_older(row, dispute, known):
        return
    for movement in dispute.movements:
        if movement.transaction_id not in known:
            _post_movement(session, gift, row, movement, settings)
    changed = is_new or (row.kind, row.status) != (dispute.kind, dispute.state)
    row.kind, row.status, row.remote_status = dispute.kind, dispute.state, dispute.remote_state
    row.respond_by = dispute.respond_by
    if changed:
        row.closed_on = _closed_on(dispute, settings)
        _tell(session, gift, row, cause, settings)


def clear(
    session: Session, gift: Gift, row: DisputeRecord, *, room: int, settings: Settings
) -> int:
    """Post what a decision means for the gift, of which *room* is left; return what it lost."""
    held = _held(session, row)
    if len(held) > 1:
        tasks.open_task(
            session,
            gift,
            key=f"dispute-currencies:{row.remote_id}",
            text="The bank moved this dispute's money in two currencies. Please book it by hand.",
        )
        return row.lost_minor
    withheld = next(iter(held.values()), Money(0, row.currency))
    gone = _gone(gift, row, withheld)
    lost = max(0, min(gone, room))
    cleared = withheld.minor if row.status in _DECIDED else 0
    before = (row.lost_minor, row.excess_minor, row.cleared_minor)
    after = (lost, gone - lost, cleared)
    if before != after:
        _post_decision(session, gift, row, Money(cleared, withheld.currency), after, settings)
    return lost


def undecided(session: Session, gift: Gift) -> int:
    """Return what is disputed of a gift and not decided yet, in minor units, at most the gift."""
    disputed = sa.select(sa.func.coalesce(sa.func.sum(DisputeRecord.amount_minor), 0)).where(
        DisputeRecord.gift_id == gift.id,
        DisputeRecord.kind != DisputeKind.INQUIRY,
        DisputeRecord.status.not_in(_DECIDED),
    )
    return min(gift.amount_minor, int(session.scalar(disputed) or 0))


def _new(gift: Gift, dispute: Dispute, settings: Settings) -> DisputeRecord:
    return DisputeRecord(
        gift_id=gift.id,
        remote_id=dispute.remote_id,
        kind=dispute.kind,
        status=dispute.state,
        remote_status=dispute.remote_state,
        amount_minor=dispute.amount.minor,
        currency=dispute.amount.currency,
        reason=dispute.reason[:60],
        opened_on=_day(dispute.opened_at, settings),
        lost_minor=0,
        excess_minor=0,
        cleared_minor=0,
        turns=0,
    )


def _is_older(row: DisputeRecord, dispute: Dispute, known: set[str]) -> bool:
    """Say whether we have seen a later state of the dispute before.

    Movements are only ever added, and a decision is only followed by another one.
    """
    seen = {movement.transaction_id for movement in dispute.movements}
    reopened = dispute.state is DisputeState.OPEN and row.status in _DECIDED
    return bool(known - seen) or (reopened and seen == known)


def _post_movement(
    session: Session, gift: Gift, row: DisputeRecord, movement: Movement, settings: Settings
) -> None:
    on = _day(movement.moved_at, settings)
    session.add(
        DisputeMovement(
            dispute_id=row.id,
            remote_id=movement.transaction_id,
            amount_minor=movement.amount.minor,
            currency=movement.amount.currency,
            moved_on=on,
        )
    )
    post(
        session,
        source=f"dispute:{movement.transaction_id}",
        effective_on=on,
        lines=move(movement.amount, debit=accounts.CLEARING, credit=accounts.DISPUTED),
        detail={"gift": gift.id, "dispute": row.remote_id},
    )
    post_costs(session, gift, movement.amount, movement, on=on)


def _closed_on(dispute: Dispute, settings: Settings) -> date | None:
    if dispute.state not in _DECIDED:
        return None
    return _day(dispute.closed_at or clock.now(), settings)


def _held(session: Session, row: DisputeRecord) -> dict[str, Money]:
    """Return what the bank has taken and not given back, for each currency of our balance."""
    sums = session.execute(
        sa.select(DisputeMovement.currency, sa.func.sum(DisputeMovement.amount_minor))
        .where(DisputeMovement.dispute_id == row.id)
        .group_by(DisputeMovement.currency)
    )
    return {currency: Money(-int(minor), currency) for currency, minor in sums}


def _gone(gift: Gift, row: DisputeRecord, withheld: Money) -> int:
    """Return what is lost, in minor units of the gift's currency.

    In another currency, what is missing after a dispute was won is a difference of exchange.
    """
    if row.status not in _DECIDED:
        return 0
    if withheld.currency == gift.currency:
        return withheld.minor
    return row.amount_minor if row.status == DisputeState.LOST and withheld.minor > 0 else 0


def _post_decision(  # noqa: PLR0917 - one step of `clear`
    session: Session,
    gift: Gift,
    row: DisputeRecord,
    cleared: Money,
    after: tuple[int, int, int],
    settings: Settings,
) -> None:
    lost = after[0] - row.lost_minor
    excess = after[1] - row.excess_minor
    freed = cleared - Money(row.cleared_minor, cleared.currency)
    row.turns += 1
    first = row.turns == 1
    today = clock.local_date(clock.now(), settings.organisation.time_zone)
    post(
        session,
        source=f"dispute-lost:{row.remote_id}" + ("" if first else f":{row.turns}"),
        effective_on=row.closed_on if row.closed_on and freed.minor else today,
        lines=_decision_lines(gift, lost, excess, freed),
        detail={"gift": gift.id, "dispute": row.remote_id},
    )
    row.lost_minor, row.excess_minor, row.cleared_minor = after


def _decision_lines(gift: Gift, lost: int, excess: int, freed: Money) -> list[Line]:
    """Return the lines that take *freed* off the disputed money and put it where it belongs."""
    lines = [
        Line(accounts.gifts(gift.designation_code), Money(lost, gift.currency)),
        Line(accounts.LOSSES, Money(excess, gift.currency)),
        Line(accounts.DISPUTED, -freed),
    ]
    if freed.currency != gift.currency:
        lines += [
            Line(accounts.EXCHANGE, Money(-lost - excess, gift.currency)),
            Line(accounts.EXCHANGE, freed),
        ]
    return [line for line in lines if line.amount.minor]


def _tell(session: Session, gift: Gift, row: DisputeRecord, cause: str, settings: Settings) -> None:
    note(
        session,
        Gift,
        gift.id,
        gift.status,
        cause=cause,
        dispute=row.remote_id,
        became=row.remote_status,
        minor=row.amount_minor,
    )
    key = f"{row.kind}:{row.remote_id}"
    open_key = key if row.status == DisputeState.OPEN else None
    tasks.settle_by_itself(
        session,
        [f"{kind}:{row.remote_id}" for kind in (*DisputeKind, "lost")],
        f"Stripe says: {row.remote_status}",
        besides=open_key,
    )
    if row.kind == DisputeKind.BANK_RETURN:
        telling.taken_back(session, gift, row, settings)
        text = f"The bank took {row.amount.exact()} back ({row.reason}). The donor has been told."
        tasks.open_task(session, gift, key=key, text=text)
    elif row.status == DisputeState.LOST:
        tasks.open_task(session, gift, key=f"lost:{row.remote_id}", text=_lost_text(gift, row))
    elif row.status not in _DECIDED:
        asks = "asks about" if row.kind == DisputeKind.INQUIRY else "disputes"
        text = f"The donor's bank {asks} {row.amount.exact()} ({row.reason}). Answer in Stripe."
        tasks.open_task(session, gift, key=key, text=text, due_at=row.respond_by)


def _lost_text(gift: Gift, row: DisputeRecord) -> str:
    text = f"The dispute over {row.amount.exact()} was lost."
    if gift.recurring_gift_id is None:
        return text
    return f"{text} The monthly gift goes on: ask the donor whether it should."


def _day(instant: datetime, settings: Settings) -> date:
    return clock.local_date(instant, settings.organisation.time_zone)
