"""Reading what somebody filled in about a monthly gift: a wish, nothing yet, or a mistake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from donorportal.config import Organisation
from donorportal.giving.catalogue import DesignationOffer
from donorportal.giving.partner import charges
from donorportal.giving.partner.charges import Charge
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.reading import Changeable, ChargedGift
from donorportal.giving.partner.wishes import LONGEST_COMMENT, REASONS, Wish
from donorportal.money import AmountRefused, parse_amount
from donorportal.payments.monthly import Upcoming

_LONGEST_TEXT = 100


class AnswerRefused(ValueError):  # noqa: N818 - named for what happened
    """What was filled in cannot be done; the message is for whoever did.

    Attributes:
        name: The field.

    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Answers:
    """What was filled in, and what it is about.

    Attributes:
        upcoming: What is charged as things stand; None when nothing is, or nobody knows.
        gifts: What was charged already.

    """

    gift: Changeable
    fields: Mapping[str, str]
    upcoming: Upcoming | None
    gifts: list[ChargedGift]
    offers: tuple[DesignationOffer, ...]
    organisation: Organisation
    today: date

    def typed(self, name: str) -> str | None:
        """Return what a field holds, None when it was not sent."""
        text = self.fields.get(name)
        return None if text is None else text[:_LONGEST_TEXT]

    def on(self, charge: Charge) -> str:
        """Return the date of a charge as YYYY-MM-DD."""
        return charge.on(self.organisation.time_zone).isoformat()


def read(action: Action, answers: Answers) -> Wish | None:
    """Return what is wanted; None while the question has not been answered.

    Raises:
        AnswerRefused: With the field and the sentence.

    """
    return _READERS[action](answers)


def _amount(answers: Answers) -> Wish | None:
    typed, gift = answers.typed("amount"), answers.gift
    if typed is None:
        return None
    locale = answers.organisation.locale
    try:
        amount = parse_amount(typed, gift.amount.currency, locale)
    except AmountRefused as refused:
        raise AnswerRefused("amount", str(refused)) from refused
    if amount == gift.amount:
        raise AnswerRefused("amount", f"Your monthly gift is {amount.text(locale)} already.")
    return Wish(action=Action.AMOUNT, amount=amount, shown_on=_next_on(answers))


def _designation(answers: Answers) -> Wish | None:
    chosen = answers.typed("designation")
    if chosen is None:
        return None
    if chosen not in {offer.code for offer in answers.offers}:
        raise AnswerRefused("designation", "Please choose one of these.")
    if chosen == answers.gift.designation_code:
        raise AnswerRefused("designation", "Your monthly gift is for this already.")
    return Wish(action=Action.DESIGNATION, designation=chosen)


def _day(answers: Answers) -> Wish | None:
    typed = answers.typed("day")
    if typed is None:
        return None
    if not (typed.isascii() and typed.isdigit() and 1 <= int(typed) <= charges.LAST_DAY):
        raise AnswerRefused("day", f"Please choose a day from 1 to {charges.LAST_DAY}.")
    coming = charges.coming(answers.upcoming)
    if not coming or answers.upcoming is None:
        raise AnswerRefused("day", "There is no next charge whose day could be changed.")
    zone = answers.organisation.time_zone
    first = coming[0].on(zone)
    if int(typed) == first.day == coming[-1].on(zone).day:
        raise AnswerRefused("day", "Your monthly gift is charged on this day already.")
    at = charges.moved(first, int(typed), answers.today, zone)
    charged_at = Charge(at, at + answers.upcoming.delay, answers.gift.amount, is_left_out=False)
    return Wish(action=Action.DAY, at=at, shown_on=answers.on(charged_at))


def _skip(answers: Answers) -> Wish | None:
    if answers.upcoming is None:
        raise AnswerRefused("form", "There is no next charge that could be skipped.")
    shortest = charges.pause_ends(answers.upcoming)[0]
    skipped = charges.coming(answers.upcoming)[0]
    return Wish(action=Action.SKIP, at=shortest.resumes_at, shown_on=answers.on(skipped))


def _pause(answers: Answers) -> Wish | None:
    chosen = answers.typed("until")
    if chosen is None or answers.upcoming is None:
        return None
    for end in charges.pause_ends(answers.upcoming):
        if answers.on(end.next_charge) == chosen:
            return Wish(action=Action.PAUSE, at=end.resumes_at, shown_on=chosen)
    raise AnswerRefused("until", "Please choose one of these days.")


def _resume(_answers: Answers) -> Wish | None:
    return Wish(action=Action.RESUME)


def _end(answers: Answers) -> Wish | None:
    reason = answers.typed("reason")
    comment = " ".join(answers.fields.get("comment", "").split())[:LONGEST_COMMENT]
    return Wish(action=Action.END, reason=reason if reason in REASONS else None, comment=comment)


def _once(answers: Answers) -> Wish | None:
    # What is undone was confirmed gift by gift; a charge in between shows the page again.
    return Wish(action=Action.ONCE, shown_on=str(len(answers.gifts)))


def _card(_answers: Answers) -> Wish | None:
    return Wish(action=Action.CARD)


def _next_on(answers: Answers) -> str | None:
    charged = charges.charged(charges.coming(answers.upcoming))
    return answers.on(charged[0]) if charged else None


_READERS: dict[Action, Callable[[Answers], Wish | None]] = {
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
