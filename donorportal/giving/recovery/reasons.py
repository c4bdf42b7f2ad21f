"""Why a bank did not pay, as far as it changes what the donor can do."""

from enum import StrEnum


class Reason(StrEnum):
    """What kind of help fits; the bank's own code never reaches the donor."""

    FUNDS = "funds"
    """The account could not cover it; another day may do."""
    EXPIRED = "expired"
    """The card's data is out of date."""
    AUTHENTICATION = "authentication"
    """The bank wants the donor to confirm."""
    PASSING = "passing"
    """Something between the banks went wrong; nobody needs to do anything."""
    OTHER = "other"


_REASONS = {
    "insufficient_funds": Reason.FUNDS,
    "expired_card": Reason.EXPIRED,
    "invalid_expiry_month": Reason.EXPIRED,
    "invalid_expiry_year": Reason.EXPIRED,
    "authentication_required": Reason.AUTHENTICATION,
    "authentication_not_handled": Reason.AUTHENTICATION,
    "payment_intent_authentication_failure": Reason.AUTHENTICATION,
    "approve_with_id": Reason.PASSING,
    "issuer_not_available": Reason.PASSING,
    "processing_error": Reason.PASSING,
    "reenter_transaction": Reason.PASSING,
    "try_again_later": Reason.PASSING,
}
# For these Stripe keeps its schedule but leaves the bank alone until there is another card.
_NOT_TRIED_AGAIN = {
    "authentication_required",
    "highest_risk_level",
    "incorrect_number",
    "lost_card",
    "pickup_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "stolen_card",
    "transaction_not_allowed",
}


def reason_of(code: str | None) -> Reason:
    """Return what a bank's code means for the donor; codes we do not know are neutral."""
    return _REASONS.get(code or "", Reason.OTHER)


def is_tried_again(code: str | None) -> bool:
    """Say whether the same card is asked again by itself after this code."""
    return code not in _NOT_TRIED_AGAIN
