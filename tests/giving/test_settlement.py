"""From the form to the ledger, the receipt and the mail."""

import itertools
from collections import Counter

import pytest
import sqlalchemy as sa
import stripe

from donorportal.db import reading_session
from donorportal.donors.models import Donor
from donorportal.giving.models import (
    Gift,
    GiftEvent,
    GiftStatus,
    Receipt,
    RecurringGift,
    RecurringStatus,
)
from donorportal.ledger.accounts import CLEARING
from donorportal.ledger.balances import balances
from donorportal.ledger.models import Entry
from donorportal.mail.models import OutboxMessage
from donorportal.money import Money
from donorportal.updates.models import Consent, Subscriber
from tests.portal_in_process import Portal
from tests.stripeparams import API_VERSION


def _books(portal: Portal) -> dict[tuple[str, str], Money]:
    with reading_session(portal.engine) as session:
        return balances(session)


def test_a_gift_ends_in_the_ledger_with_a_receipt_and_a_mail(portal: Portal) -> None:
    """One gift of $50 becomes income, a fee, a numbered receipt and one mail."""
    portal.give(amount="50", email="Ada.River@Example.org", topics=["stories", "events"])

    portal.send_all()

    (gift,) = portal.scalars(sa.select(Gift))
    assert GiftStatus.RECEIVED == gift.status
    assert ("charged", "visa", "4242") == (gift.given_on_basis, gift.card_brand, gift.card_last4)
    assert {
        ("clearing:stripe", "USD"): Money(5000 - 175, "USD"),
        ("fees:stripe", "USD"): Money(175, "USD"),
        ("gifts:where-needed-most", "USD"): Money(-5000, "USD"),
    } == _books(portal)
    (receipt,) = portal.scalars(sa.select(Receipt))
    assert f"R-{gift.given_on:%y}-000001" == receipt.number
    (mail,) = portal.mails("ada.river@example.org")
    assert receipt.number in mail["subject"]
    assert "$50" in mail["subject"]
    assert ["Ada.River@example.org"] == portal.scalars(sa.select(Donor.email))
    assert {"stories", "events"} == set(portal.scalars(sa.select(Consent.topic_code)))
    assert [None] == portal.scalars(sa.select(Subscriber.confirmed_at))


def test_a_monthly_gift_becomes_a_gift_each_month(portal: Portal) -> None:
    """Each paid invoice is one gift, with its own receipt, under one recurring gift."""
    portal.give(amount="30", frequency="monthly")
    portal.send_all()
    for _ in range(2):
        portal.sandbox.advance(days=32)
        portal.send_all()

    (giver,) = portal.scalars(sa.select(RecurringGift))
    gifts = portal.scalars(sa.select(Gift).order_by(Gift.given_on))
    assert RecurringStatus.ACTIVE == giver.status
    assert [giver.id] * 3 == [gift.recurring_gift_id for gift in gifts]
    assert [3000] * 3 == [gift.amount_minor for gift in gifts]
    assert 3 == len({gift.given_on.month for gift in gifts})
    assert gifts[-1].given_on < giver.next_on
    assert 3 == len(portal.scalars(sa.select(Receipt.number)))
    assert 3 == len(portal.mails("donor@example.org"))


@pytest.mark.parametrize("frequency", ["once", "monthly"])
def test_d6_any_order_and_any_number_of_deliveries_end_the_same(
    portal: Portal, frequency: str
) -> None:
    """D6: events backwards, doubled and after the thank-you page change nothing."""
    landing = portal.give(frequency=frequency)
    assert "Thank you" in portal.land(landing).text
    before = _books(portal)
    events = portal.events()

    for event in itertools.chain(reversed(events), events):
        assert portal.send(event).status_code == 200
        portal.work()

    assert before == _books(portal)
    assert 1 == len(portal.scalars(sa.select(Gift).where(Gift.status == "received")))
    assert 1 == len(portal.scalars(sa.select(Receipt)))
    assert 1 == len(portal.mails("donor@example.org"))
    assert 1 == len(portal.scalars(sa.select(OutboxMessage)))


def test_c6_webhooks_alone_book_and_mail(portal: Portal) -> None:
    """C6: a donor who closes the tab after paying still gets gift and receipt."""
    portal.give()
    portal.send_all()

    assert [GiftStatus.RECEIVED] == portal.scalars(sa.select(Gift.status))
    assert 1 == len(portal.mails("donor@example.org"))


def test_c7_the_thank_you_page_books_when_it_comes_first(portal: Portal) -> None:
    """C7: the page asks Stripe, books once, and the later webhook is a no-op."""
    landing = portal.give()

    page = portal.land(landing)
    portal.work()

    assert 200 == page.status_code
    assert "has arrived" in page.text
    assert 1 == len(portal.mails("donor@example.org"))
    portal.send_all()
    assert 1 == len(portal.scalars(sa.select(Receipt)))


def test_c9_giving_with_a_known_address_changes_nothing_of_its_owner(portal: Portal) -> None:
    """C9: a stranger who types a donor's address gets no history and changes no name."""
    portal.give(email="ada@example.org", name="Ada River")
    portal.send_all()
    stranger = portal.client()

    answer = stranger.post("/give", data=portal.form(email="ADA@example.org", name="Mallory"))
    portal.sandbox.pay(answer.location)
    portal.send_all()

    assert ["Ada River"] == portal.scalars(sa.select(Donor.name))
    assert 303 == stranger.get("/portal/").status_code


def test_c8_an_expired_page_ends_as_abandoned_without_a_receipt(portal: Portal) -> None:
    """C8: a page that closes unpaid leaves an abandoned attempt and no donor."""
    portal.post()
    portal.sandbox.advance(seconds=3 * 3600)
    portal.send_all()

    assert [GiftStatus.ABANDONED] == portal.scalars(sa.select(Gift.status))
    assert [] == portal.scalars(sa.select(Donor))
    assert [] == portal.mails()


def test_b14_stripe_is_believed_when_the_amount_differs(portal: Portal) -> None:
    """B14: what was really paid is booked and flagged, and no receipt goes out by itself."""
    portal.give(amount="50")
    with portal.engine.begin() as connection:
        connection.execute(sa.update(Gift).values(amount_minor=4000))

    portal.send_all()

    (gift,) = portal.scalars(sa.select(Gift))
    assert 5000 == gift.amount_minor
    assert "We asked for $40.00" in gift.needs_look
    assert [] == portal.mails()


def test_row_18_a_form_paid_twice_is_two_gifts_and_a_question(portal: Portal) -> None:
    """Both pages of one form are paid: both are booked, the second is flagged."""
    first = portal.form(amount="50")
    one = portal.client().post("/give", data=first)
    two = portal.client().post("/give", data=first | {"amount": "60"})
    assert one.location != two.location
    with portal.engine.begin() as connection:
        attempts = connection.scalar(sa.select(Gift.checkout_attempt))
    assert 2 == attempts

    expired = portal.sandbox.pay(one.location)
    portal.sandbox.pay(two.location)
    portal.send_all()

    assert expired.status_code != 303, "the first page was closed when the second opened"
    assert [6000] == portal.scalars(sa.select(Gift.amount_minor))


def _refund(portal: Portal, amount_minor: int) -> None:
    """Refund a part of the only gift, as somebody does at Stripe's own pages."""
    (payment_id,) = portal.scalars(sa.select(Gift.payment_remote_id))
    client = stripe.StripeClient(
        "sk_test_dashboard",
        stripe_version=API_VERSION,
        base_addresses={"api": portal.sandbox.url},
    )
    client.v1.refunds.create({"payment_intent": payment_id, "amount": amount_minor})


def _stripe_holds(portal: Portal) -> dict[str, int]:
    """Return what Stripe's balance holds, by currency, in minor units."""
    held: Counter[str] = Counter()
    for moved in portal.sandbox.listed("balance_transactions"):
        held[moved["currency"].upper()] += moved["net"]
    return dict(held)


def _clearing(portal: Portal) -> dict[str, int]:
    """Return what we think that Stripe holds, without the currencies of which it is nothing."""
    return {
        code: held.minor
        for (account, code), held in _books(portal).items()
        if account == CLEARING and held.minor
    }


def test_a_refund_in_the_gifts_currency_exchanges_nothing(portal: Portal) -> None:
    """A refund made at Stripe reduces income and clearing, and the fee stays."""
    portal.give(amount="50")
    portal.send_all()

    _refund(portal, 2000)
    portal.send_all()

    assert {
        ("clearing:stripe", "USD"): Money(3000 - 175, "USD"),
        ("fees:stripe", "USD"): Money(175, "USD"),
        ("gifts:where-needed-most", "USD"): Money(-3000, "USD"),
    } == _books(portal)
    assert _stripe_holds(portal) == _clearing(portal)


def test_a_gift_that_settles_in_another_currency_goes_back_in_it(portal: Portal) -> None:
    """Refunds of a gift in EUR leave a balance in USD at the rate of their day."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_084_700)
    portal.give(amount="50", currency="EUR")
    portal.send_all()
    assert {"USD": 5424 - 187} == _clearing(portal)

    portal.sandbox.knobs(exchange_millionths=1_201_300)
    _refund(portal, 2000)
    portal.send_all()
    portal.sandbox.knobs(exchange_millionths=990_001)
    _refund(portal, 3000)
    portal.send_all()

    assert {"USD": 5424 - 187 - 2403 - 2970} == _clearing(portal)
    assert _stripe_holds(portal) == _clearing(portal)
    books = _books(portal)
    assert Money(0, "EUR") == books["gifts:where-needed-most", "EUR"]
    assert Money(0, "EUR") == books["clearing:stripe", "EUR"]
    assert Money(0, "EUR") == books["exchange:stripe", "EUR"]
    assert Money(2403 + 2970 - 5424, "USD") == books["exchange:stripe", "USD"]


def test_a_second_look_at_an_exchanged_refund_posts_nothing(portal: Portal) -> None:
    """Every event of such a gift may come again, in any order, without another entry."""
    portal.sandbox.knobs(balance_currency="usd", exchange_millionths=1_084_700)
    portal.give(amount="50", currency="EUR")
    portal.send_all()
    _refund(portal, 2000)
    portal.send_all()
    before = _books(portal)

    for event in reversed(portal.events()):
        assert 200 == portal.send(event).status_code
        portal.work()

    assert before == _books(portal)
    assert 4 + 1 == len(portal.scalars(sa.select(Entry.id)))


def test_a_declined_card_leaves_history_and_no_gift(portal: Portal) -> None:
    """A decline is kept in the history with the bank's code, and a second card still works."""
    answer = portal.post()
    refused = portal.sandbox.pay(answer.location, card="4000000000000002")
    assert 303 != refused.status_code
    portal.send_all()

    assert [(GiftStatus.STARTED, "generic_decline")] == portal.rows(
        sa.select(Gift.status, Gift.failure)
    )
    portal.sandbox.pay(answer.location)
    portal.send_all()
    (gift,) = portal.scalars(sa.select(Gift))
    assert (GiftStatus.RECEIVED, None) == (gift.status, gift.failure)
    history = portal.scalars(sa.select(GiftEvent.status).order_by(GiftEvent.id))
    assert ["started", "received"] == history


def test_no_answer_at_the_thank_you_page_is_no_claim(portal: Portal) -> None:
    """While Stripe does not answer, the page neither thanks for money nor says none was taken."""
    landing = portal.give()
    portal.sandbox.fault("500_before", method="GET", path="/v1/checkout/sessions", count=3)

    page = portal.land(landing)

    assert 200 == page.status_code
    assert "We cannot see your payment yet" in page.text
    assert "Nothing has been charged" not in page.text
    assert "has arrived" in portal.land(landing).text
