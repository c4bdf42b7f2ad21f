"""Changes of a monthly gift in the words that donors read, on pages and in mails."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from babel.dates import format_date

from donorportal import clock
from donorportal.config import Organisation
from donorportal.giving.partner.asking import Change
from donorportal.giving.partner.charges import Charge
from donorportal.giving.partner.models import Action
from donorportal.money import Money

_LOST_TO_THE_BANK = (
    "Your bank did not pay the open charge with this card either. Nothing was charged;"
    " we ask again over the next days."
)


def day_text(day: date | str, locale: str) -> str:
    """Say a date in full; as text it is YYYY-MM-DD."""
    return format_date(_date(day), "long", locale=locale)


def ordinal(day: int) -> str:
    """Say a day of the month: 1st, 22nd, 13th."""
    teens = 10 < day < 20  # noqa: PLR2004 - eleventh to thirteenth are irregular
    suffix = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def charge_lines(charges: list[Charge], organisation: Organisation) -> list[dict[str, Any]]:
    """Return coming charges as a page shows them."""
    return [
        {
            "on_text": day_text(charge.on(organisation.time_zone), organisation.locale),
            "amount_text": charge.amount.text(organisation.locale),
            "is_left_out": charge.is_left_out,
        }
        for charge in charges
    ]


def stored_lines(lines: list[dict[str, Any]], locale: str) -> list[dict[str, Any]]:
    """Return charges as an outcome keeps them in the form in which a page shows them."""
    return [
        {
            "on_text": day_text(line["on"], locale),
            "amount_text": money(line).text(locale),
            "is_left_out": line.get("is_left_out", False),
        }
        for line in lines
    ]


def headline(change: Change, organisation: Organisation) -> str:
    """Say in a line what is true now that the change is done."""
    return _HEADLINES[change.wish.action](change, organisation)


def sentences(change: Change, organisation: Organisation) -> list[str]:
    """Say what the change means for the money."""
    if change.wish.action == Action.ONCE:
        return _single_gift(change, organisation.locale)
    if change.wish.action == Action.CARD:
        return [_LOST_TO_THE_BANK] if change.outcome.get("declined") else []
    return [_MEANINGS[change.wish.action]]


def day_of_month(change_at: datetime, organisation: Organisation) -> str:
    """Say on which day of the month a month begins: 5th."""
    return ordinal(clock.local_date(change_at, organisation.time_zone).day)


def money(line: dict[str, Any]) -> Money:
    """Return the amount of a stored line."""
    return Money(line["minor"], line["currency"])


def _single_gift(change: Change, locale: str) -> list[str]:
    kept = [
        f"Your gift of {money(line).text(locale)} of {day_text(line['on'], locale)} stays."
        " Thank you."
        for line in change.outcome["kept"]
    ]
    back = [
        f"{money(line).text(locale)} of {day_text(line['on'], locale)} goes back to your card,"
        " which can take up to ten days."
        for line in change.outcome["refunded"]
    ]
    return [*kept, *back, "Nothing more will be charged."]


def _date(day: date | str) -> date:
    return date.fromisoformat(day) if isinstance(day, str) else day


def _shown(change: Change, organisation: Organisation) -> str:
    shown_on = change.wish.shown_on
    return day_text(shown_on, organisation.locale) if shown_on else ""


_Headline = Callable[[Change, Organisation], str]

_HEADLINES: dict[Action, _Headline] = {
    Action.AMOUNT: lambda change, organisation: (
        f"Your monthly gift is now {change.wish.new_amount.text(organisation.locale)}"
    ),
    Action.DESIGNATION: lambda change, _: (
        f"Your monthly gift is now for: {change.outcome['designation']}"
    ),
    Action.DAY: lambda change, organisation: (
        f"Your monthly gift is now charged on the {day_of_month(change.wish.moment, organisation)}"
    ),
    Action.CARD: lambda change, _: (
        f"Your monthly gift has a new card, ending in {change.outcome['last4']}"
    ),
    Action.SKIP: lambda change, organisation: (
        f"Your gift of {_shown(change, organisation)} is skipped"
    ),
    Action.PAUSE: lambda change, organisation: (
        f"Your monthly gift is paused until {_shown(change, organisation)}"
    ),
    Action.RESUME: lambda _, __: "Your monthly gift goes on",
    Action.END: lambda _, __: "Your monthly gift has stopped",
    Action.ONCE: lambda _, __: "Your monthly gift is now a single gift",
}
_MEANINGS = {
    Action.AMOUNT: "Nothing was charged for this change.",
    Action.DAY: "Nothing was charged for this change.",
    Action.DESIGNATION: (
        "This holds for the gifts to come. Those you gave stay what they were for."
    ),
    Action.SKIP: "Nothing is charged on that day. After it, your gift goes on by itself.",
    Action.PAUSE: "Nothing is charged before that day. On it, your gift goes on by itself.",
    Action.RESUME: "Nothing was charged just now.",
    Action.END: "Nothing more will be charged. Thank you for all you gave with it.",
}
