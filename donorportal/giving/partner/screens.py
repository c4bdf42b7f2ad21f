"""What the pages of a change show: the question, and what the answer does to the money."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from donorportal import clock
from donorportal.giving.models import RecurringStatus
from donorportal.giving.partner import charges, words
from donorportal.giving.partner.halls import Hall
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.questions import AnswerRefused, Answers
from donorportal.giving.partner.reading import ChargedGift
from donorportal.giving.partner.wishes import REASONS, Wish
from donorportal.money import Money, currency
from donorportal.payments.monthly import Upcoming

TITLES = {
    Action.AMOUNT: "Change the amount",
    Action.DESIGNATION: "Change what it is for",
    Action.DAY: "Change the day",
    Action.CARD: "Change the card",
    Action.SKIP: "Skip the next gift",
    Action.PAUSE: "Pause",
    Action.RESUME: "End the pause",
    Action.END: "Stop this gift",
    Action.ONCE: "I meant to give once",
}


@dataclass(frozen=True, slots=True)
class Screen:
    """A page: the template, what it shows, and the HTTP status."""

    template: str
    context: dict[str, Any]
    status: int


def question(
    hall: Hall,
    action: Action,
    answers: Answers,
    refused: AnswerRefused | None = None,
    *,
    status: int = 200,
) -> Screen:
    """Ask what is wanted, beside what is true now."""
    context = _common(hall, action, answers) | {
        "errors": {refused.name: str(refused)} if refused else {},
        "typed": answers.typed(_FIELDS.get(action, "")) or "",
        "choices": _choices(action, answers),
        "limits_note": _limits_note(answers),
        "charges": _lines(answers, answers.upcoming),
        "question": action.value if action in _FIELDS else None,
        "confirm": None,
    }
    return Screen("partner/change.html", context, status)


def confirm(
    hall: Hall,
    answers: Answers,
    wish: Wish,
    after: Upcoming | None,
    *,
    key: UUID,
    look_again: bool,
    status: int,
) -> Screen:
    """Say what will happen to the money, with a button that makes it happen."""
    facts = _Facts(answers, wish, after)
    context = _common(hall, wish.action, answers) | {
        "errors": {},
        "question": None,
        "look_again": look_again,
        "charges": _lines(answers, after),
        "confirm": {
            "sentences": [*_SENTENCES[wish.action](facts), *facts.under_way()],
            "button": _BUTTONS[wish.action](facts),
            "hidden": _hidden(wish, answers, key),
            "reasons": REASONS if wish.action == Action.END else {},
            "are_undone": wish.action in {Action.END, Action.ONCE},
        },
    }
    return Screen("partner/change.html", context, status)


def unsure(hall: Hall, gift_id: int, action: Action, reference: str, *, status: int) -> Screen:
    """Say that the payment service does not answer, and that nothing was changed."""
    context = {
        "base": hall.base,
        "home_url": hall.home,
        "again_url": hall.url(gift_id, action),
        "reference": reference,
        "is_staff": hall.is_staff,
    }
    return Screen("partner/unsure.html", context, status)


class _Facts:
    """What the sentences of one change are made of."""

    def __init__(self, answers: Answers, wish: Wish, after: Upcoming | None) -> None:
        self.answers, self.wish = answers, wish
        self.gift = answers.gift
        self.organisation = answers.organisation
        self.locale = answers.organisation.locale
        self.now_text = answers.gift.amount.text(self.locale)
        self.charged = charges.charged(charges.coming(after))
        self.upcoming = answers.upcoming

    @property
    def first_text(self) -> str:
        """Return the date of the first charge after the change."""
        if not self.charged:
            return "the next charge"
        return words.day_text(self.charged[0].on(self.organisation.time_zone), self.locale)

    @property
    def shown_text(self) -> str:
        """Return the date that is confirmed."""
        return words.day_text(self.wish.shown_on or "", self.locale)

    def under_way(self) -> list[str]:
        """Say what can no longer be changed: a charge that was drawn up within the hour."""
        if self.upcoming is None or self.wish.action in {Action.END, Action.ONCE, Action.CARD}:
            return []
        return [
            f"This month's gift of {charge.amount.text(self.locale)} is on its way already and"
            " stays as it was."
            for charge in self.upcoming.unpaid
            if charge.is_fresh
        ]

    def is_unpaid(self) -> bool:
        """Say whether the bank did not pay the last charge."""
        return self.gift.status == RecurringStatus.PAST_DUE


def _common(hall: Hall, action: Action, answers: Answers) -> dict[str, Any]:
    gift, locale = answers.gift, answers.organisation.locale
    return {
        "base": hall.base,
        "home_url": hall.home,
        "here_url": hall.url(gift.row_id, action),
        "pause_url": hall.url(gift.row_id, Action.PAUSE),
        "is_staff": hall.is_staff,
        "action": action.value,
        "title": TITLES[action],
        "gift": {
            "id": gift.row_id,
            "amount_text": gift.amount.text(locale),
            "designation_name": gift.designation_name,
            "last4": gift.card_last4,
            "whose": gift.name or gift.email,
        },
        "look_again": False,
    }


def _lines(answers: Answers, upcoming: Upcoming | None) -> list[dict[str, Any]]:
    return words.charge_lines(charges.coming(upcoming), answers.organisation)


def _choices(action: Action, answers: Answers) -> list[dict[str, str]]:
    if action == Action.DESIGNATION:
        return [
            {"value": offer.code, "label": offer.name, "hint": offer.description}
            for offer in answers.offers
            if offer.code != answers.gift.designation_code
        ]
    if action == Action.DAY:
        return [
            {"value": str(day), "label": words.ordinal(day), "hint": ""}
            for day in range(1, charges.LAST_DAY + 1)
        ]
    if action == Action.PAUSE and answers.upcoming is not None:
        return [_pause_choice(answers, end) for end in charges.pause_ends(answers.upcoming)]
    return []


def _pause_choice(answers: Answers, end: charges.PauseEnd) -> dict[str, str]:
    zone, locale = answers.organisation.time_zone, answers.organisation.locale
    gifts = "1 gift" if end.months == 1 else f"{end.months} gifts"
    return {
        "value": answers.on(end.next_charge),
        "label": words.day_text(end.next_charge.on(zone), locale),
        "hint": f"{gifts} left out",
    }


def _limits_note(answers: Answers) -> str:
    code, locale = answers.gift.amount.currency, answers.organisation.locale
    kind = currency(code)
    least, most = Money(kind.minimum, code), Money(kind.maximum, code)
    return f"In {code}, between {least.text(locale)} and {most.text(locale)}."


def _hidden(wish: Wish, answers: Answers, key: UUID) -> dict[str, str]:
    name = _FIELDS.get(wish.action)
    found = {"key": str(key), "shown_on": wish.shown_on or ""}
    return found | ({name: answers.typed(name) or ""} if name else {})


def _amount(facts: _Facts) -> list[str]:
    new_text = facts.wish.new_amount.text(facts.locale)
    said = [
        (
            f"From {facts.first_text} on: {new_text} instead of {facts.now_text}, every month."
            " Nothing is charged today."
        )
    ]
    if facts.gift.fee_cover.minor:
        said.append(
            f"The {facts.now_text} include {facts.gift.fee_cover.text(facts.locale)} that you added"
            f" for the card fee. Nothing is added to the {new_text}."
        )
    if facts.is_unpaid():
        said.append(f"The charge of {facts.now_text} that your bank did not pay stays as it was.")
    return said


def _designation(facts: _Facts) -> list[str]:
    names = {offer.code: offer.name for offer in facts.answers.offers}
    return [
        (
            f"From {facts.first_text} on, your gift is for: {names[facts.wish.designation or '']}."
            " Until now it was for: "
            f"{facts.gift.designation_name}. Gifts that you gave stay what they were for."
        )
    ]


def _day(facts: _Facts) -> list[str]:
    return [f"The next charge is on {facts.shown_text}. Nothing is charged today."]


def _card(facts: _Facts) -> list[str]:
    said = [
        (
            "You type the new card on Stripe's page; we never see it. Nothing is charged there."
            " Every later charge goes to the new card."
        )
    ]
    if facts.is_unpaid():
        said.append(f"The open charge of {facts.now_text} is then asked of the new card at once.")
    return said


def _skip(facts: _Facts) -> list[str]:
    return [
        (
            f"Nothing is charged on {facts.shown_text}. The next charge is on {facts.first_text};"
            " you need not do anything for that."
        )
    ]


def _pause(facts: _Facts) -> list[str]:
    said = [
        f"Nothing is charged before {facts.shown_text}. On that day your gift goes on by itself."
    ]
    if facts.is_unpaid():
        said.append(f"The charge of {facts.now_text} that your bank did not pay is dropped.")
    return said


def _resume(facts: _Facts) -> list[str]:
    return [f"The next charge is on {facts.first_text}. Nothing is charged today."]


def _end(facts: _Facts) -> list[str]:
    said = [
        "No further charges, from this moment on.",
        "What you gave stays given; your receipt numbers stay here.",
    ]
    if facts.is_unpaid():
        said.append(
            f"The charge of {facts.now_text} that your bank did not pay is not tried again."
        )
    return said


def _once(facts: _Facts) -> list[str]:
    kept, back = (
        facts.answers.gifts[:1],
        [gift for gift in facts.answers.gifts[1:] if _is_left(gift)],
    )
    said = [f"You keep {_named(gift, facts.locale)}, with its receipt." for gift in kept]
    said += [
        f"{_named(gift, facts.locale)[:1].upper()}{_named(gift, facts.locale)[1:]} goes back to"
        " your card, which can take up to ten days."
        for gift in back
    ]
    if not back:
        said.append("Nothing else was charged, so nothing needs to go back.")
    return [*said, "Nothing more will be charged."]


def _named(gift: ChargedGift, locale: str) -> str:
    return f"your gift of {gift.left.text(locale)} of {words.day_text(gift.given_on, locale)}"


def _is_left(gift: ChargedGift) -> bool:
    return gift.left.minor > 0


def _day_button(facts: _Facts) -> str:
    day = clock.local_date(facts.wish.moment, facts.organisation.time_zone).day
    return f"Give on the {words.ordinal(day)} of each month"


# The field in which each question is answered; what is not here has none.
_FIELDS = {
    Action.AMOUNT: "amount",
    Action.DESIGNATION: "designation",
    Action.DAY: "day",
    Action.PAUSE: "until",
}
_SENTENCES: dict[Action, Callable[[_Facts], list[str]]] = {
    Action.AMOUNT: _amount,
    Action.DESIGNATION: _designation,
    Action.DAY: _day,
    Action.CARD: _card,
    Action.SKIP: _skip,
    Action.PAUSE: _pause,
    Action.RESUME: _resume,
    Action.END: _end,
    Action.ONCE: _once,
}
_BUTTONS: dict[Action, Callable[[_Facts], str]] = {
    Action.AMOUNT: lambda facts: f"Give {facts.wish.new_amount.text(facts.locale)} every month",
    Action.DESIGNATION: lambda _facts: "Change what my gift is for",
    Action.DAY: _day_button,
    Action.CARD: lambda _facts: "Go to Stripe's page",
    Action.SKIP: lambda facts: f"Skip the gift of {facts.shown_text}",
    Action.PAUSE: lambda facts: f"Pause until {facts.shown_text}",
    Action.RESUME: lambda facts: f"Go on giving {facts.now_text} every month",
    Action.END: lambda facts: f"Stop giving {facts.now_text} every month",
    Action.ONCE: lambda _facts: "Make it a single gift",
}
