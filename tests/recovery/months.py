"""What the tests of failed charges share: a monthly gift whose card does as it is told."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient

from donorportal.giving.models import Gift, RecurringGift, RecurringGiftEvent
from donorportal.giving.recovery.models import FailedCharge
from donorportal.mail.models import OutboxMessage
from tests.portal_in_process import Portal

RETRIES = (3, 5, 7)
"""Days after which the sandbox tries again."""


@dataclass
class Months:
    """One monthly gift of $30, its card, and the months that pass."""

    portal: Portal

    @property
    def gift(self) -> RecurringGift:
        """The monthly gift as we have it."""
        (found,) = self.portal.scalars(sa.select(RecurringGift))
        assert isinstance(found, RecurringGift)
        return found

    @property
    def charge(self) -> FailedCharge:
        """The only charge that failed."""
        (found,) = self.charges()
        return found

    def charges(self) -> list[FailedCharge]:
        """Return the charges that failed, the first one first."""
        return self.portal.scalars(sa.select(FailedCharge).order_by(FailedCharge.id))

    @property
    def subscription(self) -> dict[str, Any]:
        """The subscription as the sandbox has it, ended or not."""
        (found,) = self.portal.sandbox.listed("subscriptions?status=all")
        return found

    def let_fail(self, code: str | None) -> None:
        """Let every later charge of the card be declined with *code*; None lets it succeed."""
        card = self.subscription["default_payment_method"]
        self.portal.sandbox.post("card-outcomes", payment_method=card, outcome=code)

    def renew(self, *, told: bool = True) -> None:
        """Let time pass until just after the next month's charge."""
        end = self.subscription["items"]["data"][0]["current_period_end"]
        self.portal.sandbox.advance(to=end + 2 * 3600)
        if told:
            self.portal.send_all()

    def pass_days(self, days: int, *, told: bool = True) -> None:
        """Let time pass at Stripe and, if *told*, hear of what happened."""
        self.portal.sandbox.advance(days=days)
        if told:
            self.portal.send_all()

    def fail(self, code: str = "insufficient_funds", *, told: bool = True) -> None:
        """Let the next month's charge be declined."""
        self.let_fail(code)
        self.renew(told=told)

    def work_later(self) -> None:
        """Do also the work that waits for a later time."""
        with self.portal.engine.begin() as connection:
            connection.execute(sa.text("UPDATE job SET run_at = created_at WHERE state = 'ready'"))
        self.portal.work()

    def gifts(self) -> list[Any]:
        """Return where each gift stands, the first one first."""
        return self.portal.scalars(sa.select(Gift.status).order_by(Gift.id))

    def mails(self, kind: str) -> list[OutboxMessage]:
        """Return the mails of a kind."""
        return self.portal.scalars(
            sa.select(OutboxMessage).where(OutboxMessage.kind == kind).order_by(OutboxMessage.id)
        )

    def kinds(self) -> list[str]:
        """Return the kinds of all mails but receipts, in order."""
        return self.portal.scalars(
            sa.select(OutboxMessage.kind)
            .where(OutboxMessage.kind != "gift-receipt")
            .order_by(OutboxMessage.id)
        )

    def statuses(self) -> list[str]:
        """Return the states that the monthly gift went through, each named once in a row."""
        found = self.portal.scalars(
            sa.select(RecurringGiftEvent.status).order_by(RecurringGiftEvent.id)
        )
        return [state for n, state in enumerate(found) if n == 0 or found[n - 1] != state]

    def browser(self) -> FlaskClient:
        """Return a browser in which the donor is signed in."""
        return signed_in(self.portal, self.gift.donor_id)


def signed_in(portal: Portal, donor_id: int | None) -> FlaskClient:
    """Return a browser in which this donor is signed in."""
    client = portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"donor:{donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000
    return client
