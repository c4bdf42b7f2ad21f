"""kill -9 at the moments that matter most, each brought about on purpose."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from donorportal.giving.models import Gift
from donorportal.jobs.models import Job
from donorportal.mail.models import OutboxMessage
from donorportal.webhooks.models import InboundEvent
from tests.kills.books import assert_each_gave_once, come_to_rest
from tests.kills.patience import PatientDonor
from tests.live_site import LiveSite

_HUMAN_SECONDS = 1.1
# Longer than it takes to see that the moment has come, and to kill.
_HELD_SECONDS = 3


@pytest.fixture
def donor(eager: LiveSite) -> PatientDonor:
    """A donor whose form is filled in and not sent yet."""
    donor = PatientDonor(eager, 1)
    time.sleep(_HUMAN_SECONDS)
    return donor


@pytest.mark.parametrize("answer_lost", ["timeout_before", "timeout"])
def test_l1_between_our_row_and_stripes_answer(
    eager: LiveSite, donor: PatientDonor, answer_lost: str
) -> None:
    """L1: the gift is stored, Stripe has made no page yet or just now, and the site dies."""
    eager.sandbox.fault(
        answer_lost, method="POST", path="/v1/checkout/sessions", seconds=_HELD_SECONDS
    )
    made = 1 if answer_lost == "timeout" else 0
    with ThreadPoolExecutor(1) as pool:
        thanks = pool.submit(donor.give)
        eager.until(lambda: eager.scalar(sa.select(sa.func.count(Gift.id))), "the gift's row")
        eager.until(lambda: len(eager.sandbox.listed("checkout/sessions")) == made, "the page")
        known = eager.scalar(sa.select(Gift.checkout_remote_id))
        eager.crash()
        said = thanks.result()
    come_to_rest(eager)

    assert known is None
    assert "has arrived" in said
    assert len(eager.sandbox.listed("checkout/sessions")) == 1
    assert_each_gave_once(eager, [donor.email])


def test_l2_between_the_event_and_its_effect(eager: LiveSite, donor: PatientDonor) -> None:
    """L2: the tab is closed, the event is stored, the worker is asking Stripe, and it dies."""
    paying = donor.send_form()
    eager.sandbox.fault("timeout_before", method="GET", path="/v1", seconds=_HELD_SECONDS, count=9)
    donor.pay(paying)
    busy = sa.select(Job.id).where(Job.owner.is_not(None), Job.attempts == 1)
    eager.until(lambda: eager.scalar(busy), "the worker to begin")
    stored = eager.scalar(sa.select(sa.func.count(InboundEvent.id)))
    received = eager.scalar(sa.select(Gift.received_at))
    eager.kill()
    eager.sandbox.knobs(faults=[])
    eager.start()
    come_to_rest(eager)

    assert stored > 0
    assert received is None
    assert_each_gave_once(eager, [donor.email])


def test_l3_before_the_relay_has_the_mail(eager: LiveSite, donor: PatientDonor) -> None:
    """L3: the worker dies while the relay takes its time; afterwards there is exactly one mail."""
    eager.sandbox.mail_knobs(hang_seconds=_HELD_SECONDS)
    donor.give()
    _await_sending(eager)
    eager.crash()
    come_to_rest(eager)

    assert_each_gave_once(eager, [donor.email])


def test_l3_between_the_relays_yes_and_our_record(eager: LiveSite, donor: PatientDonor) -> None:
    """L3: the relay has the mail, we could not write it down; a second copy names the first."""
    eager.sandbox.mail_knobs(hang_seconds=1)
    donor.give()
    _await_sending(eager)
    with _nobody_else_writes(eager):
        eager.until(lambda: eager.sandbox.mails(donor.email), "the relay to have the mail")
        eager.kill()
    eager.start()
    come_to_rest(eager)

    assert len(eager.sandbox.mails(donor.email)) == 2
    assert_each_gave_once(eager, [donor.email], crashes=1)


def test_a_deployment_lets_a_mail_be_finished(eager: LiveSite, donor: PatientDonor) -> None:
    """A site that is told to stop finishes what it is sending: no second copy, no waiting."""
    eager.sandbox.mail_knobs(hang_seconds=3)
    donor.give()
    _await_sending(eager)
    eager.stop()
    states = eager.rows(sa.select(OutboxMessage.state))
    eager.start()
    come_to_rest(eager)

    assert states == [("sent",)]
    assert_each_gave_once(eager, [donor.email])


def test_stripe_dies_while_the_donor_pays(eager: LiveSite, donor: PatientDonor) -> None:
    """The page to pay on goes away with the money half moved; paying again charges once."""
    paying = donor.send_form()
    with ThreadPoolExecutor(1) as pool:
        landing = pool.submit(donor.pay, paying)
        eager.sandbox.kill()
        eager.sandbox.start()
        said = donor.land(landing.result())
    come_to_rest(eager)

    assert "has arrived" in said
    assert_each_gave_once(eager, [donor.email])


def _await_sending(site: LiveSite) -> None:
    begun = sa.select(Job.id).where(Job.task == "mail.send", Job.owner.is_not(None))
    site.until(lambda: site.scalar(begun), "the mail to be on its way")


@contextmanager
def _nobody_else_writes(site: LiveSite) -> Iterator[None]:
    """Keep the outbox locked, so that a mail that was sent cannot be marked as such."""
    with site.engine.connect() as connection:
        connection.execute(sa.update(OutboxMessage).values(attempts=OutboxMessage.attempts))
        yield
        connection.rollback()
