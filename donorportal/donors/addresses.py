"""E-mail addresses: one spelling for each mailbox."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

_LONGEST = 254


class AddressRefused(ValueError):  # noqa: N818 - named for what happened
    """Not an e-mail address; the message is written for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A checked e-mail address.

    Attributes:
        email: As typed, normalised; what we write to.
        key: Equal for two spellings of one mailbox.

    """

    email: str
    key: str


def parse_email(text: str) -> Address:
    """Check what somebody typed as an e-mail address; nothing is looked up in the network.

    Raises:
        AddressRefused: Missing or not an address.

    """
    typed = text.strip()
    if not typed:
        raise AddressRefused("Please enter your e-mail address.")
    if len(typed) > _LONGEST:
        raise AddressRefused("This e-mail address is too long.")
    try:
        checked = validate_email(typed, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise AddressRefused(
            "This does not look like an e-mail address. Please check it, like name@example.org."
        ) from None
    return Address(email=checked.normalized, key=checked.normalized.casefold())
