"""A failed charge in the words that a donor reads: what happened, and the one next step."""

from dataclasses import dataclass
from datetime import datetime

from babel.dates import format_date

from donorportal.clock import local_date
from donorportal.config import Organisation
from donorportal.giving.recovery.models import ChargeState, TryOutcome
from donorportal.giving.recovery.reasons import Reason
from donorportal.giving.recovery.standing import Standing

_WHY = {
    Reason.FUNDS: "Your bank says that the account could not cover it that day.",
    Reason.EXPIRED: "Your bank says that the card is out of date.",
    Reason.AUTHENTICATION: "Your bank wants you to confirm the payment yourself.",
    Reason.PASSING: "Something between the banks did not work; that passes.",
    Reason.OTHER: "Your bank can tell you why; another card may work.",
}


@dataclass(frozen=True, slots=True)
class ChargeCard:
    """A failed charge on the donor's pages.

    Attributes:
        what: What happened and what it means for the money.
        why: The bank's reason as far as it helps.
        next: What happens by itself.
        confirm_url: Where the bank lets the donor confirm; None when it does not ask for that.
        is_unpaid_again: The donor's own last try was in vain.

    """

    gift_id: int
    amount_text: str
    state: str
    what: str
    why: str
    next: str
    last4: str | None
    confirm_url: str | None
    is_unpaid_again: bool
    url: str
    card_url: str


def charge_card(standing: Standing, organisation: Organisation) -> ChargeCard:
    """Present one failed charge."""
    amount_text = standing.amount.text(organisation.locale)
    failed_on = _long(standing.failed_at, organisation)
    home = f"/portal/partner/{standing.recurring_gift_id}"
    confirms = standing.reason is Reason.AUTHENTICATION and standing.state is ChargeState.OPEN
    return ChargeCard(
        gift_id=standing.recurring_gift_id,
        amount_text=amount_text,
        state=standing.state,
        what=f"Your bank did not pay your monthly gift of {amount_text} on {failed_on}."
        " Nothing was charged.",
        why=_WHY[standing.reason],
        next=_next(standing, organisation),
        last4=standing.card_last4,
        confirm_url=standing.pay_url if confirms else None,
        is_unpaid_again=standing.last_try is TryOutcome.UNPAID,
        url=f"{home}/charge",
        card_url=f"{home}/card",
    )


def _next(standing: Standing, organisation: Organisation) -> str:
    if standing.next_try_at is not None:
        return f"We ask your bank again on {_long(standing.next_try_at, organisation)}."
    if standing.is_tried_again:
        return "We ask your bank again over the next days."
    return "We do not ask your bank again with this card."


def _long(instant: datetime, organisation: Organisation) -> str:
    day = local_date(instant, organisation.time_zone)
    return format_date(day, "long", locale=organisation.locale)
