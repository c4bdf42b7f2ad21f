"""What must be true when everything has come to rest, however many times something was killed."""

from collections import Counter

import sqlalchemy as sa

from donorportal.giving import books
from donorportal.giving.models import Gift, GiftStatus, Receipt
from donorportal.jobs.models import Job, JobState
from donorportal.mail.models import OutboxMessage, OutboxState
from tests.live_site import LiveSite


def come_to_rest(site: LiveSite) -> None:
    """Let all pauses and leases of the dead be over, and wait until all work is done."""
    site.stop()
    site.skip_waiting()
    site.start()
    site.until(lambda: _all_delivered(site), "all events to be delivered")
    site.finish_work()


def assert_each_gave_once(site: LiveSite, donors: list[str], *, crashes: int = 0) -> None:
    """Exactly one charge, gift, receipt and mail each, and at most one more copy for a crash."""
    charged = [c["billing_details"]["email"] for c in site.sandbox.listed("charges") if c["paid"]]
    gifts = site.rows(
        sa.select(Gift.email, Gift.amount_minor).where(Gift.status == GiftStatus.RECEIVED)
    )
    receipts = site.rows(sa.select(Gift.email).join(Receipt, Receipt.gift_id == Gift.id))
    messages = site.rows(sa.select(OutboxMessage.address, OutboxMessage.state))
    mails = [(mail["to"][0], mail["headers"]["Message-ID"]) for mail in site.sandbox.mails()]
    copies = Counter(mails)

    assert sorted(charged) == sorted(donors)
    assert sorted(gifts) == [(donor, 5000) for donor in sorted(donors)]
    assert sorted(email for (email,) in receipts) == sorted(donors)
    assert sorted(messages) == [(donor, OutboxState.SENT) for donor in sorted(donors)]
    assert sorted(address for address, _ in copies) == sorted(donors)
    assert copies.total() - len(copies) <= crashes
    assert site.rows(sa.select(Job.task, Job.error).where(Job.state == JobState.DEAD)) == []
    with site.engine.connect() as connection:
        assert books.violations(connection) == []


def _all_delivered(site: LiveSite) -> bool:
    states = {delivery["state"] for delivery in site.sandbox.get("deliveries")}
    return states <= {"delivered"}
