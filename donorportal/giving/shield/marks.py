"""Telling visitors apart without writing down who they are.

A mark is a keyed digest: the same address gives the same mark, and nobody who has the database
alone can find the address to a mark. When SECRET_KEY changes, marks do, and counts begin anew.
"""

import hmac
from dataclasses import dataclass

from donorportal.config import Settings
from donorportal.limits.counting import network_of

_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever sends the giving form.

    Attributes:
        marks: By what they are known: address, network, email, browser; or donor alone.

    """

    marks: dict[str, str]

    @property
    def signed_in(self) -> bool:
        """Whether this is a donor whom we know."""
        return "donor" in self.marks

    @property
    def origin(self) -> dict[str, str]:
        """Return what is kept with an attempt; its e-mail address is there in full."""
        return {kind: text for kind, text in self.marks.items() if kind != "email"}


def visitor(
    settings: Settings, *, address: str, email_key: str, browser: str | None, donor_id: int | None
) -> Visitor:
    """Return whoever sends a form from a network *address*, with the id of their *browser*."""
    if donor_id is not None:
        return Visitor({"donor": mark(settings, "donor", str(donor_id))})
    known = {"address": _host(address), "network": network_of(address), "email": email_key}
    if browser:
        known["browser"] = browser
    return Visitor({kind: mark(settings, kind, value) for kind, value in known.items()})


def _host(address: str) -> str:
    """Return the address of one connection: of IPv6 the /64 that each gets for itself."""
    return address if ":" not in address else network_of(address, 64)


def mark(settings: Settings, kind: str, value: str) -> str:
    """Return the mark of a *value* of this *kind*, for example ``address:0b5c…``."""
    key = hmac.digest(settings.secret_key.encode(), b"donorportal shield", "sha256")
    digest = hmac.digest(key, f"{kind}\0{value}".encode(), "sha256")
    return f"{kind}:{digest.hex()[:_DIGITS]}"
