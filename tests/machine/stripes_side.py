"""What the payment service says, read from the sandbox, and what our books should hold then."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from tests.sandboxproc import SandboxProcess

Sums = dict[tuple[str, str], int]
"""Minor units by account (all designations are one) and currency, debit positive."""

_GOING_BACK = {"pending", "succeeded"}
_DECIDED = {"won", "lost", "warning_closed"}
_PAGE = 100


@dataclass(frozen=True)
class StripesSide:
    """Everything in the sandbox at one moment; lists are read when they are first asked for."""

    sandbox: SandboxProcess
    zone: str

    @cached_property
    def charges(self) -> list[dict[str, Any]]:
        """The charges whose money was there, even if it was taken back later."""
        return [one for one in self._all("charges") if one["paid"] or came_back(one)]

    @cached_property
    def refunds(self) -> list[dict[str, Any]]:
        """Every refund, failed ones too."""
        return self._all("refunds")

    @cached_property
    def disputes(self) -> list[dict[str, Any]]:
        """Every dispute."""
        return self._all("disputes")

    @cached_property
    def movements(self) -> list[dict[str, Any]]:
        """Every change of the balance."""
        return self._all("balance_transactions")

    @cached_property
    def payouts(self) -> list[dict[str, Any]]:
        """Every payout."""
        return self._all("payouts")

    @cached_property
    def subscriptions(self) -> list[dict[str, Any]]:
        """Every subscription, ended ones too."""
        return self._all("subscriptions", "status=all")

    @cached_property
    def pages(self) -> list[dict[str, Any]]:
        """Every Checkout page."""
        return self._all("checkout/sessions")

    def gifts(self) -> dict[str, tuple[int, str, date]]:
        """Return amount, currency and date of each gift there should be, by its charge."""
        return {
            one["id"]: (one["amount"], one["currency"].upper(), self.day(one["created"]))
            for one in self.charges
        }

    def refunded(self) -> dict[str, int]:
        """Return what went back of each charge, or is on its way."""
        found: Counter[str] = Counter()
        for one in self.refunds:
            if one["status"] in _GOING_BACK:
                found[one["charge"]] += one["amount"]
        return dict(found)

    def sums(self) -> Sums:
        """Return what each account should hold once we know everything."""
        sums: Counter[tuple[str, str]] = Counter()
        for one in self.movements:
            code = one["currency"].upper()
            sums["clearing:stripe", code] += one["net"]
            sums["fees:stripe", code] += one["fee"]
            if one["type"] in {"payout", "payout_failure"}:
                sums["bank", code] -= one["amount"]
        refunded = self.refunded()
        for one in self.charges:
            code, kept = one["currency"].upper(), one["amount"] - refunded.get(one["id"], 0)
            for held, gone, currency in self._taken(one):
                lost = max(0, min(gone, kept))
                kept -= lost
                sums["losses:stripe", code] += gone - lost
                sums["disputed:stripe", currency] += held
            sums["gifts", code] -= kept
        return {key: minor for key, minor in sums.items() if minor}

    def entry_days(self) -> dict[str, date]:
        """Return the business date of each entry that Stripe dates, by its source."""
        moved = {one["id"]: one["created"] for one in self.movements}
        found = {f"charge:{one['id']}": one["created"] for one in self.charges}
        for one in self.refunds:
            found[f"refund:{one['id']}"] = moved[one["balance_transaction"]]
            if failure := one.get("failure_balance_transaction"):
                found[f"refund-failed:{one['id']}"] = moved[failure]
        for one in self.payouts:
            found[f"payout:{one['id']}"] = moved[one["balance_transaction"]]
            if failure := one.get("failure_balance_transaction"):
                found[f"payout-failed:{one['id']}"] = moved[failure]
        return {source: self.day(seconds) for source, seconds in found.items()}

    def plans(self) -> dict[str, tuple[str, int]]:
        """Return what each monthly gift should be, by its subscription: status and amount."""
        return {
            one["id"]: (_status_of(one), one["items"]["data"][0]["price"]["unit_amount"])
            for one in self.subscriptions
            if one["status"] not in {"incomplete", "incomplete_expired"}
        }

    def day(self, seconds: int) -> date:
        """Return the date of a moment where the organisation is."""
        return datetime.fromtimestamp(seconds, ZoneInfo(self.zone)).date()

    def _taken(self, charge: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
        """Yield what is disputed, what is lost and the balance's currency, for each taking back."""
        if came_back(charge):
            movement = next(
                one for one in self.movements if one["id"] == charge["failure_balance_transaction"]
            )
            yield 0, -movement["amount"], movement["currency"].upper()
        for one in self.disputes:
            if one["charge"] != charge["id"] or not one["balance_transactions"]:
                continue
            withheld = -sum(moved["amount"] for moved in one["balance_transactions"])
            code = one["balance_transactions"][0]["currency"]
            if one["status"] not in _DECIDED:
                yield withheld, 0, code.upper()
            elif code == charge["currency"]:
                yield 0, withheld, code.upper()
            else:
                yield 0, one["amount"] if one["status"] == "lost" else 0, code.upper()

    def _all(self, kind: str, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = self.sandbox.listed(f"{kind}?{query}")
        while page:
            found += page
            if len(page) < _PAGE:
                break
            page = self.sandbox.listed(f"{kind}?{query}&starting_after={page[-1]['id']}")
        return found[::-1]


def came_back(charge: dict[str, Any]) -> bool:
    """Say whether a bank debit that had succeeded was taken back as a failure."""
    return bool(charge.get("failure_balance_transaction"))


def _status_of(subscription: dict[str, Any]) -> str:
    status = subscription["status"]
    if status == "canceled":
        reason = (subscription["cancellation_details"] or {}).get("reason")
        return "lapsed" if reason == "payment_failed" else "ended"
    if status in {"past_due", "unpaid"}:
        return "past_due"
    return "paused" if subscription["pause_collection"] else "active"
