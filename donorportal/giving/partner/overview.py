"""The page from which all changes of a monthly gift start."""

from typing import Any
from uuid import UUID

from donorportal.giving.models import RecurringStatus
from donorportal.giving.partner import asking, charges, history, screens, words
from donorportal.giving.partner.halls import Hall
from donorportal.giving.partner.models import Action, ChangeState
from donorportal.giving.partner.reading import Changeable
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable

# What only the donor does.
_OWN = (Action.CARD, Action.ONCE)
STATUS = {
    RecurringStatus.ACTIVE: ("Active", "success"),
    RecurringStatus.PAST_DUE: ("Not paid", "warning"),
    RecurringStatus.PAUSED: ("Paused", "warning"),
    RecurringStatus.UNKNOWN: ("Being checked", "warning"),
    RecurringStatus.ENDED: ("Ended", "quiet"),
    RecurringStatus.LAPSED: ("Lapsed", "quiet"),
}
_HINTS = {
    Action.AMOUNT: "From the next charge on.",
    Action.DESIGNATION: "For the gifts to come.",
    Action.DAY: "The day of the month on which it is charged.",
    Action.CARD: "On Stripe's page.",
    Action.SKIP: "Leave out one month.",
    Action.PAUSE: "For one to twelve months.",
    Action.RESUME: "Go on now.",
    Action.END: "In two clicks, at any time.",
    Action.ONCE: "Keep the first gift, undo the rest.",
}
_STATES = {
    "ended": (
        "This monthly gift had ended already",
        ["Nothing more is charged for it. Nothing was changed just now."],
    ),
    "not-now": (
        "That cannot be done right now",
        ["Nothing was changed. Below is how things stand."],
    ),
    "waiting": (
        "An earlier change is still being made",
        ["Nothing was changed just now. Please try again in a few minutes."],
    ),
    "linked": ("We sent the donor a message with the way to this page", []),
}


def card_of(hall: Hall, gift: Changeable) -> dict[str, Any]:
    """Return a monthly gift with its next charges and what can be done with it.

    When the payment service does not answer, the last date it named stands in.
    """
    organisation = hall.settings.organisation
    lines = [] if gift.has_ended else _charges(hall, gift)
    status_text, tone = STATUS[gift.status]
    if [line["is_left_out"] for line in lines].count(True) == 1:
        status_text = "One gift left out"
    with hall.reading() as session:
        happened = history.history_of(session, gift.row_id, organisation, for_staff=hall.is_staff)
    fallback = gift.next_on if gift.status == RecurringStatus.ACTIVE else None
    return {
        "id": gift.row_id,
        "amount_text": gift.amount.text(organisation.locale),
        "status_text": status_text,
        "tone": tone,
        "designation_name": gift.designation_name,
        "last4": gift.card_last4,
        "ended_on": _day(gift.ended_on, organisation.locale),
        "next_on": _day(fallback, organisation.locale),
        "charges": lines,
        "is_unpaid": gift.status == RecurringStatus.PAST_DUE,
        "actions": [
            {"url": hall.url(gift.row_id, action), "label": screens.TITLES[action], "hint": hint}
            for action, hint in ((one, _HINTS[one]) for one in gift.actions)
            if not hall.is_staff or action not in _OWN
        ],
        "history": happened,
    }


def notice_of(hall: Hall, gift_id: int | None, state: str, done: str) -> dict[str, Any] | None:
    """Return what came of the change that somebody just asked for, in words."""
    if state in _STATES:
        title, sentences = _STATES[state]
        tone = "success" if state == "linked" else "warning"
        return {"tone": tone, "title": title, "sentences": sentences}
    try:
        key = UUID(done)
    except ValueError:
        return None
    with hall.reading() as session:
        change = asking.find(session, key, gift_id) if gift_id is not None else None
        latest = asking.latest(session, gift_id) if change is not None and gift_id else None
    # A page of the browser's history may show what has been changed again since.
    if change is None or latest is None or latest.row_id != change.row_id:
        return None
    return _notice(hall, change)


def _notice(hall: Hall, change: asking.Change) -> dict[str, Any]:
    organisation = hall.settings.organisation
    if change.state == ChangeState.DONE:
        return {
            "tone": "success",
            "title": words.headline(change, organisation),
            "sentences": [
                *words.sentences(change, organisation),
                "We sent a message that confirms it.",
            ],
        }
    if change.state == ChangeState.ASKED:
        return {
            "tone": "warning",
            "title": "The payment service has not confirmed this yet",
            "sentences": [
                "What you asked for is noted. We keep asking, and write when it is done.",
                "You need not do anything.",
            ],
        }
    title, sentences = _STATES["ended"]
    if not change.outcome.get("has_ended"):
        title = "This was not changed"
        sentences = [
            "The payment service did not accept it. Nothing was charged for it.",
            "Below is how things stand.",
        ]
    return {"tone": "warning", "title": title, "sentences": sentences}


def _charges(hall: Hall, gift: Changeable) -> list[dict[str, Any]]:
    try:
        upcoming = hall.gateway.monthly.upcoming(gift.remote_id)
    except (GatewayUnavailable, GatewayRejected):
        return []
    return words.charge_lines(charges.coming(upcoming), hall.settings.organisation)


def _day(day: Any, locale: str) -> str | None:
    return words.day_text(day, locale) if day else None
