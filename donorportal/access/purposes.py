"""One key for each purpose, so that no token of one kind is good for anything else.

SECRET_KEY itself never signs anything. What somebody is given to prove who they are (a code, a
link, an authenticator key) is computed from a random value in the database and the key of its
purpose: neither the database nor a log of it is enough to make one.
"""

import hmac
from enum import StrEnum

from donorportal.config import Settings


class Purpose(StrEnum):
    """What a key is for."""

    SESSION = "session"
    FORM = "form"
    """The token that proves a form came from our own page."""
    BROWSER = "browser"
    """Recognising the browser that asked to sign in."""
    CODE = "sign-in-code"
    LINK = "sign-in-link"
    INVITATION = "staff-invitation"
    AUTHENTICATOR = "authenticator"
    LIMIT = "limit"
    """Counting attempts by address without writing the address down."""


def keys(settings: Settings, purpose: Purpose) -> list[bytes]:
    """Return the key for *purpose*, and after it those of the secrets that came before."""
    secrets = (settings.secret_key, *settings.secret_key_fallbacks)
    return [
        hmac.digest(secret.encode(), f"donorportal {purpose}".encode(), "sha256")
        for secret in secrets
    ]


def digests(settings: Settings, purpose: Purpose, *parts: str) -> list[bytes]:
    """Return the digest of *parts* under each key for *purpose*, the current one first."""
    # A separator that no part contains: ("a", "bc") and ("ab", "c") must differ.
    message = "\0".join(parts).encode()
    return [hmac.digest(key, message, "sha256") for key in keys(settings, purpose)]


def mark(settings: Settings, purpose: Purpose, *parts: str) -> str:
    """Return the current digest of *parts* as 64 hexadecimal digits."""
    return digests(settings, purpose, *parts)[0].hex()
