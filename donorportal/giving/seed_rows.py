"""The rows that one event in the story of the seed leaves in each table.

Rows are plain tuples in the order of `COLUMNS`, with dates and times as text: both databases read
them as they are, and nothing stands between here and the bulk insert.
"""

from datetime import date
from random import Random
from typing import Any

from donorportal.giving import receipts
from donorportal.giving.seed_people import Person
from donorportal.ledger import accounts
from donorportal.money import CURRENCIES, Money

COLUMNS = {
    "donor": ("id", "email", "email_key", "name", "login_epoch", "created_at"),
    "recurring_gift": (
        *("id", "public_id", "key", "amount_minor", "currency", "fee_cover_minor", "email"),
        *("name", "consents", "created_at", "checkout_asked_at", "checkout_remote_id"),
        *("checkout_attempt", "designation_code", "donor_id", "status", "remote_status"),
        *("remote_id", "customer_remote_id", "next_on", "card_brand", "card_last4"),
        *("started_at", "ended_at"),
    ),
    "recurring_gift_event": ("recurring_gift_id", "at", "status", "cause", "detail"),
    "gift": (
        *("id", "public_id", "key", "amount_minor", "currency", "fee_cover_minor", "email"),
        *("name", "tribute_type", "tribute_name", "consents", "created_at"),
        *("checkout_asked_at", "checkout_remote_id", "checkout_attempt", "designation_code"),
        *("donor_id", "recurring_gift_id", "status", "payment_remote_id", "charge_remote_id"),
        *("invoice_remote_id", "given_on", "given_on_basis", "received_at", "refunded_minor"),
        *("card_brand", "card_last4", "failure"),
    ),
    "gift_event": ("gift_id", "at", "status", "cause", "detail"),
    "receipt": ("gift_id", "year", "serial", "number", "issued_at"),
    "refund": (
        *("gift_id", "remote_id", "amount_minor", "currency", "status", "reason"),
        *("refunded_on", "created_at"),
    ),
    "posting": ("entry_id", "account", "currency", "amount_minor"),
    "entry": ("id", "source", "effective_on", "posted_at", "detail"),
}
"""The tables in the order in which they must be filled, and their columns."""

Rows = dict[str, list[tuple[Any, ...]]]

_CAUSE = "seed"
_NOTHING = "{}"
_FEE_BASIS_POINTS = 290
_REMOTE_STATUS = {
    "active": "active",
    "past_due": "past_due",
    "paused": "active",
    "ended": "canceled",
}
# Late enough for the Americas and early enough for Europe to be on the same day.
_TIMES = tuple(
    (f"{hour}:{minute:02d}:07.000000", f"{hour}:{minute:02d}:48.000000")
    for hour in range(14, 22)
    for minute in range(60)
)


class RowWriter:
    """Writes rows, and counts what has been numbered.

    Attributes:
        last_serials: The last receipt number given out in each year.

    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rows = _no_rows()
        self.donors = 0
        self.gifts = 0
        self.monthly_gifts = 0
        self.refunds = 0
        self.entries = 0
        self.last_serials: dict[int, int] = {}

    def take(self) -> Rows:
        """Return what was written since the last time."""
        taken, self._rows = self._rows, _no_rows()
        return taken

    def waiting(self) -> int:
        """Return how many gifts or donors `take` would return."""
        return max(len(self._rows["gift"]), len(self._rows["donor"]))

    def donor(self, somebody: Person, day: date) -> int:
        """Write a donor and return the id."""
        self.donors += 1
        self._rows["donor"].append(
            (
                self.donors,
                somebody.email,
                somebody.email,
                somebody.name,
                0,
                f"{day} 14:00:00.000000",
            )
        )
        return self.donors

    def monthly(
        self,
        donor: int,
        somebody: Person,
        amount: Money,
        *,
        fee_cover_minor: int,
        designation: str,
        card: tuple[str, str],
        begun_on: date,
        status: str,
        changed_on: date | None,
        next_on: date | None,
    ) -> int:
        """Write a monthly gift that is in its *status* since *changed_on*, and return the id."""
        self.monthly_gifts += 1
        number, (asked, began) = self.monthly_gifts, self._moments(begun_on)
        changed = f"{changed_on} 14:30:00.000000"
        self._rows["recurring_gift"].append(
            (
                *(number, *self._two_uuids(number)),
                *(amount.minor, amount.currency, fee_cover_minor, somebody.email, somebody.name),
                *(_NOTHING, asked, asked, f"seed_cs_monthly_{number:09d}", 1, designation, donor),
                *(status, _REMOTE_STATUS[status], f"seed_sub_{number:09d}"),
                *(f"seed_cus_{donor:09d}", next_on and str(next_on), *card, began),
                changed if status == "ended" else None,
            )
        )
        events = self._rows["recurring_gift_event"]
        events.append((number, asked, "started", _CAUSE, _NOTHING))
        events.append((number, began, "active", _CAUSE, _NOTHING))
        if status != "active":
            events.append((number, changed, status, _CAUSE, _NOTHING))
        return number

    def gift(
        self,
        donor: int | None,
        somebody: Person,
        amount: Money,
        *,
        fee_cover_minor: int,
        designation: str,
        card: tuple[str, str],
        day: date,
        status: str,
        monthly: int | None = None,
        tribute: tuple[str | None, str | None] = (None, None),
        refunded_minor: int = 0,
        failure: str | None = None,
    ) -> int:
        """Write a gift with all that follows from it, and return the id."""
        self.gifts += 1
        number, received, tag = self.gifts, status == "received", f"{self.gifts:010d}"
        asked, settled = self._moments(day)
        on = str(day) if received else None
        self._rows["gift"].append(
            (
                *(number, *self._two_uuids(number)),
                *(amount.minor, amount.currency, fee_cover_minor, somebody.email, somebody.name),
                *(*tribute, _NOTHING, asked, asked),
                *(None if monthly else f"seed_cs_{tag}", 1, designation, donor, monthly, status),
                None if status == "abandoned" else f"seed_pi_{tag}",
                f"seed_ch_{tag}" if received else None,
                f"seed_in_{tag}" if monthly else None,
                *(on, "charged" if received else None, settled if received else None),
                *(refunded_minor, *card, failure),
            )
        )
        events = self._rows["gift_event"]
        if not monthly:
            events.append((number, asked, "started", _CAUSE, _NOTHING))
        events.append((number, settled, status, _CAUSE, _NOTHING))
        if received:
            self._receipt(number, day.year, settled)
            self._charge(f"charge:seed_ch_{tag}", amount, designation, on, settled)
        return number

    def refund(
        self, gift: int, amount: Money, designation: str, refunded_on: date, *, whole: bool
    ) -> None:
        """Write a refund of a gift and the entry that reverses its income."""
        self.refunds += 1
        remote_id, (_, at) = f"seed_re_{self.refunds:010d}", self._moments(refunded_on)
        self._rows["refund"].append(
            (
                *(gift, remote_id, amount.minor, amount.currency, "succeeded"),
                *("duplicate" if whole else "requested_by_customer", str(refunded_on), at),
            )
        )
        self._entry(
            f"refund:{remote_id}",
            str(refunded_on),
            at,
            amount.currency,
            {accounts.gifts(designation): amount.minor, accounts.CLEARING: -amount.minor},
        )

    def _receipt(self, gift: int, year: int, at: str) -> None:
        serial = self.last_serials.get(year, 0) + 1
        self.last_serials[year] = serial
        self._rows["receipt"].append((gift, year, serial, receipts.number_of(year, serial), at))

    def _charge(
        self, source: str, amount: Money, designation: str, on: str | None, at: str
    ) -> None:
        fee = -(-amount.minor * _FEE_BASIS_POINTS // 10_000)
        fee += CURRENCIES[amount.currency].card_fee_fixed
        self._entry(
            source,
            on,
            at,
            amount.currency,
            {
                accounts.CLEARING: amount.minor - fee,
                accounts.FEES: fee,
                accounts.gifts(designation): -amount.minor,
            },
        )

    def _entry(
        self, source: str, on: str | None, at: str, currency: str, amounts: dict[str, int]
    ) -> None:
        self.entries += 1
        number = self.entries
        self._rows["posting"].extend(
            [(number, account, currency, minor) for account, minor in amounts.items()]
        )
        self._rows["entry"].append((number, source, on, at, _NOTHING))

    def _moments(self, day: date) -> tuple[str, str]:
        """Return when something was asked for on *day*, and when it was done, in UTC."""
        asked, done = _TIMES[int(self._random.random() * len(_TIMES))]
        return f"{day} {asked}", f"{day} {done}"

    def _two_uuids(self, number: int) -> tuple[str, str]:
        """Return UUIDs that sort by *number*, which keeps bulk inserts in the index's order."""
        front, back = f"{number:016x}", f"{self._random.getrandbits(128):032x}"
        return front + back[:16], front + back[16:]


def _no_rows() -> Rows:
    return {table: [] for table in COLUMNS}
