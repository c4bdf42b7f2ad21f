"""What a donor wants to give: checked, complete, and not stored yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from donorportal.donors.addresses import Address
from donorportal.money import Money

# The sentences beside the boxes; a new version whenever they change, so that each consent can be
# read back in the words that were agreed to.
CONSENT_WORDING = "2026-11"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiftIntent:
    """A gift as the form describes it.

    Attributes:
        amount: The whole sum to be charged, fee cover included.
        fee_cover_minor: How much of it covers the card fee, in minor units.
        key: From the form: the same form sent twice is the same gift.
        network: The network the donor came from, kept with the consents.
        origin: Marks of where it comes from, for counting declined cards.

    """

    key: UUID
    amount: Money
    fee_cover_minor: int
    monthly: bool
    designation_code: str
    address: Address
    name: str
    tribute_type: str | None
    tribute_name: str | None
    topics: tuple[str, ...]
    campaign: str | None
    story: str | None
    network: str
    origin: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> tuple[object, ...]:
        """Return what Stripe will be told; when it differs, an open page must be replaced."""
        return (self.amount.minor, self.amount.currency, self.address.email)
