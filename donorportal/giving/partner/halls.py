"""Where the pages about monthly gifts are shown: to the donor, or to staff on the telephone."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving.catalogue import DesignationOffer
from donorportal.giving.partner.models import Action
from donorportal.payments.gateway import Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Hall:
    """Where the pages are shown, and to whom.

    Attributes:
        actor: Who asks, as in the audit trail.
        base: The template that the pages extend.
        home: The path of the page from which all changes start.
        url: Returns the path of one change of one monthly gift.
        card_left_url: Returns the address to which Stripe's page for a card leads back.

    """

    settings: Settings
    gateway: Gateway
    transaction: Callable[[], AbstractContextManager[Session]]
    reading: Callable[[], AbstractContextManager[Session]]
    offers: tuple[DesignationOffer, ...]
    actor: str
    base: str
    home: str
    url: Callable[[int, Action], str]
    card_left_url: Callable[[int], str]

    @property
    def is_staff(self) -> bool:
        """Whether somebody acts for the donor."""
        return self.actor.startswith("staff:")
