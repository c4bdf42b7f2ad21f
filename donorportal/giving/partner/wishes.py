"""What somebody wants of a monthly gift, and how it is kept as JSON."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from donorportal.giving.partner.models import Action
from donorportal.money import Money

REASONS = {
    "money": "I need the money for something else",
    "elsewhere": "I give in another way",
    "disagree": "I do not agree with something you do",
    "other": "Something else",
}
"""Why somebody stops, as they may tell us; none is ever asked for twice."""
LONGEST_COMMENT = 500

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One action with what it needs to know."""

    action: Action
    amount: Money | None = None
    designation: str | None = None
    at: datetime | None = None
    """The next charge's month begins then (day), or the pause ends then (skip, pause)."""
    shown_on: str | None = None
    """The date that was confirmed, as YYYY-MM-DD: of the next charge, or of the one skipped."""
    reason: str | None = None
    comment: str = ""
    payment_method: str | None = None

    @property
    def new_amount(self) -> Money:
        """Return the amount of a wish that has one. Raises ValueError for any other."""
        return _said(self.amount)

    @property
    def moment(self) -> datetime:
        """Return the moment of a wish that has one. Raises ValueError for any other."""
        return _said(self.at)

    @property
    def card(self) -> str:
        """Return the card of a wish that has one. Raises ValueError for any other."""
        return _said(self.payment_method)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored; what is not said is left out."""
        found: dict[str, Any] = {
            "minor": self.amount.minor if self.amount else None,
            "currency": self.amount.currency if self.amount else None,
            "designation": self.designation,
            "at": self.at.isoformat() if self.at else None,
            "shown_on": self.shown_on,
            "reason": self.reason,
            "comment": self.comment or None,
            "payment_method": self.payment_method,
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, action: str, stored: dict[str, Any]) -> "Wish":
        """Read what `to_json` wrote."""
        wish = cls(
            action=Action(action),
            designation=stored.get("designation"),
            at=datetime.fromisoformat(stored["at"]) if "at" in stored else None,
            shown_on=stored.get("shown_on"),
            reason=stored.get("reason"),
            comment=stored.get("comment", ""),
            payment_method=stored.get("payment_method"),
        )
        if "minor" not in stored:
            return wish
        return replace(wish, amount=Money(stored["minor"], stored["currency"]))


def _said(thing: _Thing | None) -> _Thing:
    if thing is None:
        raise ValueError("this wish does not say so")
    return thing
