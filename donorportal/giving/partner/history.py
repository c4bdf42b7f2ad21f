"""What happened to a monthly gift, in sentences, the newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Organisation
from donorportal.giving.models import RecurringGiftEvent, RecurringStatus
from donorportal.giving.partner import words
from donorportal.giving.partner.finishing import CAUSE
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.wishes import Wish
from donorportal.money import Money

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    on_text: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    status: str
    cause: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads it, in the words that differ."""

    organisation: Organisation
    donor: str
    your: str

    def who(self, by: str) -> str:
        return self.donor if by == "donor" else "Staff"

    def day(self, iso: str) -> str:
        return words.day_text(iso, self.organisation.locale)

    def money(self, minor: int, currency: str) -> str:
        return Money(minor, currency).text(self.organisation.locale)


def history_of(
    session: Session, gift_id: int, organisation: Organisation, *, for_staff: bool = False
) -> list[Line]:
    """Return what happened, at most the last fifty things."""
    reader = _Reader(
        organisation,
        donor="The donor" if for_staff else "You",
        your="the" if for_staff else "your",
    )
    lines = [
        Line(
            words.day_text(clock.local_date(at, organisation.time_zone), organisation.locale),
            sentence,
        )
        for at, sentence in _sentences(_events(session, gift_id), reader)
    ]
    return lines[::-1][:_SHOWN]


def _events(session: Session, gift_id: int) -> list[_Event]:
    rows = session.execute(
        sa.select(
            RecurringGiftEvent.at,
            RecurringGiftEvent.status,
            RecurringGiftEvent.cause,
            RecurringGiftEvent.detail,
        )
        .where(RecurringGiftEvent.recurring_gift_id == gift_id)
        .order_by(RecurringGiftEvent.id)
    )
    return [_Event(*row) for row in rows]


def _sentences(events: list[_Event], reader: _Reader) -> Iterator[tuple[datetime, str]]:
    """Tell what was asked for, what charges came to, and what changed without anybody asking."""
    asked = [
        (datetime.fromisoformat(event.detail["asked_at"]), event.at)
        for event in events
        if "change" in event.detail
    ]
    status, minor = "", 0
    for event in events:
        now_minor = event.detail.get("amount_minor", minor)
        if "change" in event.detail:
            yield event.at, _asked_for(event, reader)
        elif "left_out" in event.detail:
            day = reader.day(event.detail["on"])
            yield event.at, f"{reader.your.capitalize()} gift of {day} was left out."
        elif "failure" in event.detail:
            yield event.at, f"{reader.your.capitalize()} bank did not pay the gift of this month."
        elif event.detail.get("failed_charge") == "recovered":
            yield event.at, "The unpaid gift was paid after all."
        elif (
            "failed_charge" not in event.detail
            and event.cause != CAUSE
            and not any(start <= event.at <= end for start, end in asked)
        ):
            # News of what somebody asked for says nothing that their own line does not say.
            said = _by_itself(event, status, now_minor != minor, reader)
            if said:
                yield event.at, said
        status, minor = event.status, now_minor


def _asked_for(event: _Event, reader: _Reader) -> str:
    detail = event.detail
    wish = Wish.from_json(detail["change"], detail["wanted"])
    has_day = wish.shown_on is not None and wish.action in {Action.SKIP, Action.PAUSE}
    facts = {
        "who": reader.who(detail["by"]),
        "your": reader.your,
        "old": reader.money(detail["before"]["minor"], detail["before"]["currency"]),
        "new": wish.amount.text(reader.organisation.locale) if wish.amount else "",
        "before": detail["before"]["designation"],
        "after": detail["outcome"].get("designation", ""),
        "nth": words.day_of_month(wish.at, reader.organisation) if wish.at else "",
        "last4": detail["outcome"].get("last4", ""),
        "day": reader.day(wish.shown_on) if has_day and wish.shown_on else "",
    }
    return _ASKED[wish.action].format_map(facts)


def _by_itself(event: _Event, earlier: str, is_new_amount: bool, reader: _Reader) -> str | None:
    """Say what changed without us: at the payment service, or by the passing of time."""
    if "card_last4" in event.detail:
        return f"The bank renewed the card; it ends in {event.detail['card_last4']} now."
    said = None
    if earlier in {"", RecurringStatus.STARTED}:
        said = _BEGAN if event.status == RecurringStatus.ACTIVE else None
    elif event.status != earlier:
        said = _TURNS.get((earlier, event.status)) or _STATES.get(event.status)
    elif is_new_amount:
        said = f"The amount was changed to {_amount_of(event, reader)}."
    return said.format(your=reader.your, Your=reader.your.capitalize()) if said else None


def _amount_of(event: _Event, reader: _Reader) -> str:
    return reader.money(event.detail["amount_minor"], event.detail.get("currency", "USD"))


_ASKED = {
    Action.AMOUNT: "{who} changed the amount from {old} to {new}.",
    Action.DESIGNATION: "{who} changed what the gift is for: {after} instead of {before}.",
    Action.DAY: "{who} moved the gift to the {nth} of each month.",
    Action.CARD: "{who} changed the card to the one ending in {last4}.",
    Action.SKIP: "{who} skipped the gift of {day}.",
    Action.PAUSE: "{who} paused {your} gift until {day}.",
    Action.RESUME: "{who} ended the pause.",
    Action.END: "{who} stopped {your} monthly gift.",
    Action.ONCE: "{who} made {your} monthly gift a single one.",
}
_BEGAN = "{Your} monthly gift began."
_TURNS: dict[tuple[str, str], str] = {
    (RecurringStatus.PAUSED, RecurringStatus.ACTIVE): "The pause ended; {your} gift goes on.",
    (RecurringStatus.PAST_DUE, RecurringStatus.ACTIVE): "Nothing is unpaid any more.",
}
_STATES: dict[str, str] = {
    RecurringStatus.ENDED: "{Your} monthly gift ended.",
    RecurringStatus.LAPSED: "No charge went through any more, so {your} monthly gift ended.",
    RecurringStatus.PAUSED: "{Your} monthly gift was paused.",
}
