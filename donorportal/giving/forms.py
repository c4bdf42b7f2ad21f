"""The giving form: what was typed, what is wrong with it, and the intent it amounts to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from babel.numbers import format_decimal
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner
from werkzeug.datastructures import MultiDict

from donorportal import clock
from donorportal.config import Settings
from donorportal.donors.addresses import Address, AddressRefused, parse_email
from donorportal.giving.catalogue import Offers
from donorportal.giving.intent import GiftIntent
from donorportal.money import (
    AmountRefused,
    Money,
    covering_fee,
    parse_amount,
)

_LONGEST_NAME = 200
# Nobody reads and fills the form faster than this; a form left open longer is checked again.
_FASTEST_SECONDS = 1
_OLDEST_SECONDS = 24 * 3600
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
# Letters and marks of all scripts, but nothing that could break a line or turn it around.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(slots=True)
class GiftForm:
    """Every field as text, the way it was typed."""

    amount: str = ""
    tile: str = ""
    currency: str = ""
    frequency: str = "once"
    designation: str = ""
    cover_fees: bool = False
    email: str = ""
    name: str = ""
    tribute_type: str = ""
    tribute_name: str = ""
    topics: list[str] = field(default_factory=list)
    campaign: str = ""
    story: str = ""
    key: str = ""
    stamp: str = ""
    website: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> object:
        """Let templates walk over the fields by name."""
        return getattr(self, name)

    @classmethod
    def linked(cls, query: Mapping[str, str], settings: Settings, offers: Offers) -> "GiftForm":
        """Fill a new form from the address of the page; what makes no sense there is dropped."""
        organisation = settings.organisation
        code = query.get("currency", "")
        form = cls(
            currency=code if code in organisation.currencies else organisation.currencies[0],
            frequency="monthly" if query.get("frequency") == "monthly" else "once",
            campaign=_code(query.get("campaign", "")) or "",
            story=_code(query.get("story", "")) or "",
        )
        asked = query.get("designation", "")
        known = [offer.code for offer in offers.designations]
        form.designation = asked if asked in known else next(iter(known), "")
        form.amount = _linked_amount(query.get("amount", ""), form.currency, organisation.locale)
        form.renew(settings)
        return form

    @classmethod
    def posted(cls, posted: MultiDict[str, str]) -> "GiftForm":
        """Take what was sent; unknown fields are ignored."""
        text: dict[str, Any] = {
            name: posted.get(name, "")[:1000]
            for name in (
                "amount", "tile", "currency", "frequency", "designation", "email", "name",
                "tribute_type", "tribute_name", "campaign", "story", "key", "stamp", "website",
            )
        }  # fmt: skip
        return cls(
            **text,
            cover_fees=posted.get("cover_fees", "") == "1",
            topics=posted.getlist("topics")[:20],
        )

    @property
    def is_blank(self) -> bool:
        """Whether nothing was typed, nor brought along by a link, that the page would show."""
        return not (self.amount or self.campaign or self.story or self.email)

    def renew(self, settings: Settings) -> None:
        """Make this a form that has never been sent."""
        self.key = str(uuid4())
        self.stamp = _signer(settings).sign(self.key).decode()

    def to_intent(self, settings: Settings, offers: Offers, network: str) -> GiftIntent | None:
        """Check everything and return the intent, or None with the errors filled in."""
        key = self._checked_key(settings)
        gift = self._checked_amount(settings)
        address = self._checked_email()
        tribute = self._checked_tribute()
        self._check_choices(settings, offers)
        name = self._line("name", self.name)
        if self.errors or key is None or gift is None or address is None:
            return None
        amount = self.charged(gift, settings)
        return GiftIntent(
            key=key,
            amount=amount,
            fee_cover_minor=amount.minor - gift.minor,
            monthly=self.frequency == "monthly",
            designation_code=self.designation,
            address=address,
            name=name,
            tribute_type=tribute[0],
            tribute_name=tribute[1],
            topics=tuple(offer.code for offer in offers.topics if offer.code in self.topics),
            campaign=_code(self.campaign),
            story=_code(self.story),
            network=network,
        )

    def charged(self, gift: Money, settings: Settings) -> Money:
        """Return what would be charged: the gift, and the fee on top if the donor covers it."""
        return covering_fee(gift, settings.card_fee_basis_points) if self.cover_fees else gift

    def _checked_key(self, settings: Settings) -> UUID | None:
        """Return the key if a person may have sent this form; robots fill it in no time."""
        try:
            signed, at = _signer(settings).unsign(
                self.stamp, max_age=_OLDEST_SECONDS, return_timestamp=True
            )
            key = UUID(self.key)
        except SignatureExpired:
            self.renew(settings)
            self.errors["form"] = "This page was open for a long time. Please check it once more."
            return None
        except (BadSignature, ValueError):
            self.renew(settings)
            self.errors["form"] = "Please check your gift and try again. Nothing was charged."
            return None
        age_seconds = (clock.now() - at).total_seconds()
        if signed.decode() != self.key or self.website or age_seconds < _FASTEST_SECONDS:
            self.errors["form"] = "Please try again. Nothing was charged."
            return None
        return key

    def _checked_amount(self, settings: Settings) -> Money | None:
        if self.currency not in settings.organisation.currencies:
            self.errors["amount"] = "Please choose one of the currencies offered."
            return None
        typed = self.amount if self.amount.strip(" ") else self.tile
        try:
            return parse_amount(typed, self.currency, settings.organisation.locale)
        except AmountRefused as refused:
            self.errors["amount"] = str(refused)
            return None

    def _checked_email(self) -> Address | None:
        try:
            return parse_email(self.email)
        except AddressRefused as refused:
            self.errors["email"] = str(refused)
            return None

    def _checked_tribute(self) -> tuple[str | None, str | None]:
        name = self._line("tribute_name", self.tribute_name)
        if self.tribute_type not in {"", "honour", "memory"}:
            self.errors["tribute_type"] = "Please choose one of the dedications offered."
        elif self.tribute_type and not name:
            self.errors["tribute_name"] = "Please tell us the name to dedicate this gift to."
        return (self.tribute_type, name) if self.tribute_type else (None, None)

    def _check_choices(self, settings: Settings, offers: Offers) -> None:
        if self.frequency not in {"once", "monthly"}:
            self.errors["frequency"] = "Please choose once or every month."
        if self.designation not in {offer.code for offer in offers.designations}:
            self.errors["designation"] = "Please choose where your gift goes."
        if self.currency not in settings.organisation.currencies:
            # A page in a currency that is not offered could not be shown again.
            self.currency = settings.organisation.currencies[0]

    def _line(self, name: str, text: str) -> str:
        """Return a name on one line, or note the error."""
        line = " ".join(text.split(" ")).strip()
        if len(line) > _LONGEST_NAME:
            self.errors[name] = f"Please use at most {_LONGEST_NAME} characters."
        if _UNPRINTABLE.search(line):
            self.errors[name] = "Please use one line of letters, without control characters."
        return line


def _signer(settings: Settings) -> TimestampSigner:
    keys = [*settings.secret_key_fallbacks, settings.secret_key]
    return TimestampSigner(keys, salt="giving form")


def _code(text: str) -> str | None:
    """Return the code of a campaign or story as it may stand in a link, or None."""
    return text if _CODE.fullmatch(text) else None


def _linked_amount(text: str, currency: str, locale: str) -> str:
    """Return an amount from a link, in which a point always marks the decimals."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
        return ""
    try:
        amount = parse_amount(text, currency, "en_US")
    except AmountRefused:
        return ""
    return format_decimal(amount.decimal, locale=locale)
