"""From an intent to a page on which the donor pays.

The gift is stored before the payment service is called, the idempotency key derives from the
stored row, and no transaction is open during the call. Whatever crashes in between, sending the
form again finds the same row and asks for the same page.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.db import run_alone, writing_session
from donorportal.giving.intent import CONSENT_WORDING, GiftIntent
from donorportal.giving.models import Asked, Gift, GiftStatus, RecurringGift
from donorportal.money import Money
from donorportal.payments.gateway import CheckoutRequest, OpenPage

# How long a page to pay on stays open.
_OPEN_FOR = timedelta(hours=2)
# After so long without an answer from Stripe, the next try is a new attempt: the old page would
# be closed before the donor could use it.
_ATTEMPT_FOR = timedelta(hours=1)
# What is stored of an intent, besides its state.
_STORED = (
    "public_id",
    "key",
    "created_at",
    "checkout_asked_at",
    "amount_minor",
    "currency",
    "fee_cover_minor",
    "designation_code",
    "email",
    "name",
    "tribute_type",
    "tribute_name",
    "campaign",
    "story",
    "consents",
    "origin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A stored gift on its way to the payment service.

    Attributes:
        url: The page to pay on, when there is one already.
        superseded: The remote ids of earlier pages that must be settled or closed first.
        finished: Somebody paid, or the bank is still busy: there is nothing left to start.

    """

    row_id: int
    monthly: bool
    reference: UUID
    attempt: int
    asked_at: datetime
    url: str | None
    superseded: tuple[str, ...]
    finished: bool
    remote_id: str | None

    @property
    def idempotency_key(self) -> str:
        """The same for every try of this attempt, so that they all get one page."""
        kind = "recurring-gift" if self.monthly else "gift"
        return f"{kind}:{self.reference}:checkout:{self.attempt}"


def start(engine: sa.Engine, intent: GiftIntent) -> Started:
    """Store the intent, or find what the same form stored before."""
    now, reference = clock.now(), uuid4()
    values = {"public_id": reference, "key": intent.key, "created_at": now}
    values |= {"checkout_asked_at": now, **_typed(intent, now)}
    stored = run_alone(engine, _store(intent.monthly, engine.dialect.name), values)
    if not stored or stored[0][1] is not None:
        with writing_session(engine) as session:
            return _again(session, intent, now)
    return Started(
        row_id=stored[0][0],
        monthly=intent.monthly,
        reference=reference,
        attempt=1,
        asked_at=now,
        url=None,
        superseded=(),
        finished=False,
        remote_id=None,
    )


def request_for(intent: GiftIntent, started: Started, settings: Settings) -> CheckoutRequest:
    """Describe the page; the same attempt always describes it in the same words."""
    return CheckoutRequest(
        reference=str(started.reference),
        amount=intent.amount,
        monthly=intent.monthly,
        email=intent.address.email,
        return_url=f"{settings.public_url}/give/thanks",
        cancel_url=f"{settings.public_url}/give?again={started.reference}",
        locale=settings.organisation.locale.partition("_")[0],
        expires_at=started.asked_at + _OPEN_FOR,
        methods=settings.methods_for(intent.amount.currency),
    )


def opened(engine: sa.Engine, started: Started, page: OpenPage) -> bool:
    """Remember the page that was opened for a stored gift.

    False: the same form was sent again meanwhile and asks for something else, so that this page
    must be closed.
    """
    values = {
        "row_id": started.row_id,
        "attempt": started.attempt,
        "page_id": page.remote_id,
        "page_url": page.url,
    }
    return bool(run_alone(engine, _remember(started.monthly), values))


def begin_anew(session: Session, started: Started) -> None:
    """Let the next try be a new attempt, because Stripe would repeat its error to this one.

    Should Stripe have made a page nevertheless, nobody knows its address and nobody can pay on it.
    """
    table = _table(started.monthly)
    session.execute(
        sa.update(table)
        .where(table.id == started.row_id, table.checkout_attempt == started.attempt)
        .values(checkout_attempt=started.attempt + 1, checkout_asked_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def abandoned_form(session: Session, reference: UUID) -> dict[str, Any] | None:
    """Return what the donor had typed when coming back from the payment page without paying."""
    since = clock.now() - timedelta(days=1)
    for table in (_table(monthly=False), _table(monthly=True)):
        row = session.scalar(
            sa.select(table).where(
                table.public_id == reference,
                table.status == GiftStatus.STARTED,
                table.created_at > since,
            )
        )
        if row is not None:
            gift = Money(row.amount_minor - row.fee_cover_minor, row.currency)
            return {
                "gift": gift,
                "frequency": "monthly" if table is RecurringGift else "once",
                "designation": row.designation_code,
                "cover_fees": row.fee_cover_minor > 0,
                "email": row.email,
                "name": row.name,
                "tribute_type": row.tribute_type or "",
                "tribute_name": row.tribute_name or "",
                "topics": list(row.consents.get("topics", [])),
                "campaign": row.campaign or "",
                "story": row.story or "",
            }
    return None


def _table(monthly: bool) -> type[Asked]:
    return RecurringGift if monthly else Gift


@lru_cache
def _store(monthly: bool, dialect: str) -> sa.Executable:
    """Return the statement that stores an attempt; built once, since every gift begins with it.

    It also says whether the same form asked for a gift of the other kind before.
    """
    table = cast("sa.Table", _table(monthly).__table__)  # type: ignore[attr-defined]
    other = cast("sa.Table", _table(not monthly).__table__)  # type: ignore[attr-defined]
    values = {name: sa.bindparam(name, type_=table.c[name].type) for name in _STORED}
    asked_otherwise = sa.select(other.c.id).where(other.c.key == values["key"]).scalar_subquery()
    # What a column has by default must be written out, as with every value that is not handed in.
    fixed = {
        column.name: column.default.arg
        for column in table.c
        if isinstance(column.default, sa.ColumnDefault)
        and column.default.is_scalar
        and column.name not in _STORED
    }
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return (
        insert.values(values | fixed)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(table.c.id, asked_otherwise.label("other_id"))
    )


@lru_cache
def _remember(monthly: bool) -> sa.Executable:
    """Return the statement that stores which page was opened; built once for the same reason."""
    table = cast("sa.Table", _table(monthly).__table__)  # type: ignore[attr-defined]
    # The page that this one replaces may have been reported as closed in the meantime.
    closed = table.c.status == GiftStatus.ABANDONED
    return (
        sa.update(table)
        .where(
            table.c.id == sa.bindparam("row_id"),
            table.c.checkout_attempt == sa.bindparam("attempt"),
        )
        .values(
            checkout_remote_id=sa.bindparam("page_id"),
            checkout_url=sa.bindparam("page_url"),
            status=sa.case((closed, GiftStatus.STARTED), else_=table.c.status),
        )
        .returning(table.c.id)
    )


def _typed(intent: GiftIntent, now: datetime) -> dict[str, Any]:
    return {
        "amount_minor": intent.amount.minor,
        "currency": intent.amount.currency,
        "fee_cover_minor": intent.fee_cover_minor,
        "designation_code": intent.designation_code,
        "email": intent.address.email,
        "name": intent.name,
        "tribute_type": intent.tribute_type,
        "tribute_name": intent.tribute_name,
        "campaign": intent.campaign,
        "story": intent.story,
        "origin": dict(intent.origin),
        "consents": {
            "topics": list(intent.topics),
            "wording": CONSENT_WORDING,
            "at": now.isoformat(),
            "network": intent.network,
        }
        if intent.topics
        else {},
    }


def _again(session: Session, intent: GiftIntent, now: datetime) -> Started:
    """Go on with what this form stored before.

    When the donor went back and changed something, or so much time has passed that the page is
    closed, this is a new attempt with a new key, and the earlier page has to be dealt with. So has
    the page of the other kind when the donor changed between once and monthly.
    """
    row, other = _rows_of(session, intent)
    done = next((one for one in (row, other) if one is not None and _is_finished(one)), None)
    if done is None:
        _ask_anew(row, intent, now)
        if other is not None and row.checkout_url is None:
            _withdraw(other, now)
    # Until another page is open: closing an earlier one may have failed the last time.
    open_before = () if done or row.checkout_url else (row, other)
    return Started(
        row_id=row.id,
        monthly=intent.monthly,
        reference=row.public_id,
        attempt=row.checkout_attempt,
        asked_at=row.checkout_asked_at,
        url=None if done else row.checkout_url,
        superseded=tuple(
            one.checkout_remote_id for one in open_before if one and one.checkout_remote_id
        ),
        finished=done is not None,
        remote_id=(done or row).checkout_remote_id,
    )


def _rows_of(session: Session, intent: GiftIntent) -> tuple[Asked, Asked | None]:
    """Return what this form asks for now, and what it asked for as a gift of the other kind.

    They are locked in one order, so that two requests never wait for each other in a circle.
    """
    once, monthly = (
        session.scalar(sa.select(table).where(table.key == intent.key).with_for_update())
        for table in (_table(monthly=False), _table(monthly=True))
    )
    row, other = (monthly, once) if intent.monthly else (once, monthly)
    if row is None:
        raise RuntimeError("a gift that was stored is no longer there")
    return row, other


def _is_finished(asked: Asked) -> bool:
    return asked.status not in {GiftStatus.STARTED, GiftStatus.ABANDONED}


def _ask_anew(row: Asked, intent: GiftIntent, now: datetime) -> None:
    same = (row.amount_minor, row.currency, row.email) == intent.fingerprint()
    if not same or now - row.checkout_asked_at > _ATTEMPT_FOR:
        _withdraw(row, now)
    row.status = GiftStatus.STARTED
    for name, value in _typed(intent, now).items():
        setattr(row, name, value)


def _withdraw(row: Asked, now: datetime) -> None:
    """Let whoever is opening a page for this attempt find out that it is not wanted any more."""
    row.checkout_attempt += 1
    row.checkout_asked_at = now
    row.checkout_url = None
