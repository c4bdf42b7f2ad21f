"""One page for every change: ask, show what will happen to the money, and do it.

Donors and staff walk the same way; what differs between them is in `Hall`. Nothing here knows the
web: a page is returned as a template with what it shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from donorportal import clock
from donorportal.giving.partner import asking, cards, charges, doing, questions, reading, screens
from donorportal.giving.partner.asking import AlreadyEnded, AnotherUnderWay, Change
from donorportal.giving.partner.halls import Hall
from donorportal.giving.partner.models import Action
from donorportal.giving.partner.questions import AnswerRefused, Answers
from donorportal.giving.partner.reading import Changeable
from donorportal.giving.partner.screens import Screen
from donorportal.giving.partner.wishes import Wish
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable
from donorportal.payments.monthly import CardPageRequest, Upcoming

log = structlog.get_logger()

_WRONG = 422
_LOOK_AGAIN = 409
_UNAVAILABLE = 503
_BROKEN = 500


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The page to go to."""

    url: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One request on the way through a change."""

    hall: Hall
    gift: Changeable
    action: Action
    fields: Mapping[str, str]
    key: UUID


def look(
    hall: Hall, gift: Changeable, action: Action, fields: Mapping[str, str]
) -> Screen | Elsewhere:
    """Show the question, or what the answer would do; nothing changes."""
    step = _Step(hall, gift, action, fields, uuid4())
    if action not in gift.actions:
        return _home(step, state="ended" if gift.has_ended else "not-now")
    try:
        answers = _answers(step)
        wish = questions.read(action, answers)
        if wish is None:
            return screens.question(hall, action, answers)
        return _confirm(step, answers, wish)
    except AnswerRefused as refused:
        return screens.question(hall, action, answers, refused, status=_WRONG)
    except (GatewayUnavailable, GatewayRejected) as trouble:
        return _unsure(step, trouble)


def act(
    hall: Hall, gift: Changeable, action: Action, fields: Mapping[str, str], key: UUID
) -> Screen | Elsewhere:
    """Do what was confirmed, unless what it would do is no longer what was shown."""
    step = _Step(hall, gift, action, fields, key)
    with hall.reading() as session:
        known = asking.find(session, key, gift.row_id)
    if known is not None:
        return _done(step, known)
    if action not in gift.actions:
        return _home(step, state="ended" if gift.has_ended else "not-now")
    try:
        answers = _answers(step)
        wish = questions.read(action, answers)
        return _confirmed(step, answers, wish)
    except AnswerRefused as refused:
        return screens.question(hall, action, answers, refused, status=_WRONG)
    except (GatewayUnavailable, GatewayRejected) as trouble:
        return _unsure(step, trouble)


def take_card(hall: Hall, gift: Changeable, session_id: str) -> Screen | Elsewhere:
    """Use the card that somebody comes back with; the webhook does the same if they do not."""
    step = _Step(hall, gift, Action.CARD, {}, uuid4())
    try:
        seen = hall.gateway.observe(session_id) if session_id.startswith("cs_") else None
    except (GatewayUnavailable, GatewayRejected) as trouble:
        return _unsure(step, trouble)
    left = seen.set_up if seen else None
    if left is None or left.reference != str(gift.reference):
        return _home(step, state="not-now")
    with hall.transaction() as session:
        change = cards.take(session, left)
    return _done(step, change) if change else _home(step, state="not-now")


def _confirmed(step: _Step, answers: Answers, wish: Wish | None) -> Screen | Elsewhere:
    if wish is None:
        return screens.question(step.hall, step.action, answers, status=_WRONG)
    if wish.shown_on is not None and wish.shown_on != step.fields.get("shown_on"):
        return _confirm(step, answers, wish, look_again=True)
    return Elsewhere(_card_page(step)) if step.action == Action.CARD else _perform(step, wish)


def _answers(step: _Step) -> Answers:
    hall, gift = step.hall, step.gift
    with hall.reading() as session:
        gifts = reading.charged_by(session, gift.row_id)
    organisation = hall.settings.organisation
    return Answers(
        gift=gift,
        fields=step.fields,
        upcoming=_upcoming(step),
        gifts=gifts,
        offers=hall.offers,
        organisation=organisation,
        today=clock.local_date(clock.now(), organisation.time_zone),
    )


def _upcoming(step: _Step) -> Upcoming | None:
    """Ask what is to come; who wants to stop is not held up when nobody knows."""
    try:
        return step.hall.gateway.monthly.upcoming(step.gift.remote_id)
    except (GatewayUnavailable, GatewayRejected):
        if step.action == Action.END:
            return None
        raise


def _confirm(step: _Step, answers: Answers, wish: Wish, *, look_again: bool = False) -> Screen:
    after = _after(step, answers.upcoming, wish)
    return screens.confirm(
        step.hall,
        answers,
        wish,
        after,
        key=step.key if look_again else uuid4(),
        look_again=look_again,
        status=_LOOK_AGAIN if look_again else 200,
    )


def _after(step: _Step, upcoming: Upcoming | None, wish: Wish) -> Upcoming | None:
    """Return what is charged once the wish is done, as the payment service says."""
    if upcoming is None or wish.action in {Action.END, Action.ONCE}:
        return upcoming
    monthly, remote_id = step.hall.gateway.monthly, step.gift.remote_id
    match wish.action:
        case Action.AMOUNT:
            return monthly.upcoming(remote_id, amount=wish.new_amount)
        case Action.DAY:
            return monthly.upcoming(remote_id, next_at=wish.moment)
        case Action.SKIP | Action.PAUSE:
            return charges.paused(upcoming, wish.moment)
        case Action.RESUME:
            return charges.paused(upcoming, None)
        case _:
            return upcoming


def _perform(step: _Step, wish: Wish) -> Elsewhere:
    try:
        return _done(step, _asked(step, wish))
    except AlreadyEnded:
        return _home(step, state="ended")
    except AnotherUnderWay as other:
        with step.hall.reading() as session:
            earlier = asking.find(session, other.key, step.gift.row_id)
    if earlier is None:
        return _home(step, state="not-now")
    doing.do(step.hall.transaction, step.hall.gateway, earlier, step.hall.settings)
    try:
        return _done(step, _asked(step, wish))
    except AlreadyEnded:
        return _home(step, state="ended")
    except AnotherUnderWay:
        return _home(step, state="waiting")


def _asked(step: _Step, wish: Wish) -> Change:
    with step.hall.transaction() as session:
        return asking.ask(session, step.gift.row_id, wish, key=step.key, actor=step.hall.actor)


def _done(step: _Step, change: Change) -> Elsewhere:
    doing.do(step.hall.transaction, step.hall.gateway, change, step.hall.settings)
    return _home(step, done=str(change.key))


def _card_page(step: _Step) -> str:
    hall, gift = step.hall, step.gift
    request = CardPageRequest(
        subscription_id=gift.remote_id,
        customer_id=gift.customer_id,
        currency=gift.amount.currency,
        reference=str(gift.reference),
        actor=hall.actor,
        return_url=hall.card_left_url(gift.row_id),
        cancel_url=f"{hall.settings.public_url}{hall.home}",
        locale=hall.settings.organisation.locale.partition("_")[0],
    )
    return hall.gateway.monthly.open_card_page(request, key=f"card-page:{step.key}")


def _home(step: _Step, *, state: str = "", done: str = "") -> Elsewhere:
    query = f"state={state}" if state else f"done={done}"
    return Elsewhere(f"{step.hall.home}?gift={step.gift.row_id}&{query}")


def _unsure(step: _Step, trouble: Exception) -> Screen:
    reference = uuid4().hex[:8]
    log.error("monthly gift not changed", reference=reference, trouble=repr(trouble))
    status = _UNAVAILABLE if isinstance(trouble, GatewayUnavailable) else _BROKEN
    return screens.unsure(step.hall, step.gift.row_id, step.action, reference, status=status)
