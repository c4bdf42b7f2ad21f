"""The giving form against mistakes and abuse: groups A, B and C of the abuse plan."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from donorportal.giving.blanks import Blanks
from donorportal.giving.models import Gift, GiftStatus, RecurringGift
from tests.portal_in_process import Portal, hidden

_STRIPE = "/v1/checkout/sessions"


def _opened(portal: Portal) -> list[dict[str, Any]]:
    """Return the requests that opened a page, not those that closed one."""
    return [asked for asked in portal.sandbox.requests("POST", _STRIPE) if asked["path"] == _STRIPE]


def _errors(text: str) -> list[str]:
    return re.findall(r'href="#([a-z_]+)"', text)


def test_the_form_keeps_what_was_typed_and_names_each_error(portal: Portal) -> None:
    """A wrong form comes back with 422, its errors at the fields and everything still there."""
    answer = portal.post(
        amount="10,00", email="nobody", name="Sam <Example>", tribute_type="memory", tribute_name=""
    )

    assert 422 == answer.status_code
    assert {"amount", "email", "tribute_name"} <= set(_errors(answer.text))
    assert "Sam &lt;Example&gt;" in answer.text
    assert 'value="10,00"' in answer.text
    assert [] == portal.scalars(sa.select(Gift))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"currency": "KWD"}, "amount"),
        ({"currency": "usd"}, "amount"),
        ({"frequency": "yearly"}, "frequency"),
        ({"designation": "pizza"}, "designation"),
        ({"tribute_type": "insult"}, "tribute_type"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"amount": "1.99"}, "amount"),
        ({"amount": "50000.01"}, "amount"),
        ({"email": "a@b\r\nBcc: c@example.org"}, "email"),
    ],
)
def test_b10_choices_that_were_not_offered_are_refused(
    portal: Portal, fields: dict[str, Any], where: str
) -> None:
    """B10: currency, frequency and purpose are ours; a limit is a limit."""
    answer = portal.post(**fields)

    assert 422 == answer.status_code
    assert where in _errors(answer.text)
    assert [] == portal.scalars(sa.select(Gift))


def test_b12_fields_that_are_not_in_the_form_do_nothing(portal: Portal) -> None:
    """B12: nobody can set the status, the fee, the donor or the price from outside."""
    answer = portal.post(
        status="received", fee="0", livemode="1", price_id="p", donor_id="1", fee_cover_minor="9"
    )

    assert 303 == answer.status_code
    (gift,) = portal.scalars(sa.select(Gift))
    assert (GiftStatus.STARTED, None, 0) == (gift.status, gift.donor_id, gift.fee_cover_minor)


def test_k6_no_posted_bytes_lead_to_an_error_of_ours(portal: Portal) -> None:
    """K6: random fields and values are answered below 500."""
    names = st.sampled_from(
        ["amount", "tile", "currency", "frequency", "designation", "email", "name", "topics",
         "tribute_type", "tribute_name", "campaign", "story", "key", "stamp", "website", "again"]
    )  # fmt: skip
    client = portal.client()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(names, st.text(max_size=300), max_size=16))
    def send(fields: dict[str, Any]) -> None:
        assert client.post("/give", data=portal.form() | fields).status_code < 500
        assert client.get("/give", query_string=fields).status_code < 500

    send()


def test_covering_the_fee_is_said_and_charged(portal: Portal) -> None:
    """The whole sum is on the button's side of the money: $31.21 so that $30 remain."""
    portal.give(amount="30", cover_fees="1")
    portal.send_all()

    (gift,) = portal.scalars(sa.select(Gift))
    assert (3121, 121) == (gift.amount_minor, gift.fee_cover_minor)


def test_attribution_is_carried_through(portal: Portal) -> None:
    """Campaign and story of the link reach the gift."""
    page = portal.client().get("/give?campaign=spring-appeal&story=a-door-opens").text
    assert ("spring-appeal", "a-door-opens") == (hidden(page, "campaign"), hidden(page, "story"))

    portal.give(campaign="spring-appeal", story="a-door-opens", frequency="monthly")
    portal.send_all()

    (gift,) = portal.scalars(sa.select(Gift))
    assert ("spring-appeal", "a-door-opens") == (gift.campaign, gift.story)


def test_monthly_is_never_chosen_without_being_said(portal: Portal) -> None:
    """A link may ask for monthly; the button then says so."""
    client = portal.client()

    assert "Give $30 every month" in client.get("/give?frequency=monthly&amount=30").text
    assert (
        "every month"
        not in re.findall(r'<span class="stated">([^<]*)', client.get("/give?amount=30").text)[0]
    )


def test_a6_the_donor_is_not_told_why_the_bank_refused(portal: Portal) -> None:
    """A6: the reason is kept for staff and shown to nobody else."""
    answer = portal.post()
    portal.sandbox.pay(answer.location, card="4000000000009995")
    portal.send_all()
    (gift,) = portal.scalars(sa.select(Gift))

    page = portal.client().get(f"/give/thanks?cs={gift.checkout_remote_id}")

    assert "insufficient_funds" == gift.failure
    assert "insufficient" not in page.text.lower()


@pytest.mark.parametrize("trick", ["too fast", "honeypot", "no stamp", "other key", "old stamp"])
def test_a7_robots_are_asked_to_try_again(portal: Portal, trick: str) -> None:
    """A7: a form filled in no time, with the trap filled or a forged stamp makes no row."""
    key = str(uuid4())
    fields: dict[str, Any] = {
        "too fast": {"key": key, "stamp": portal.stamp(key, seconds_ago=0)},
        "honeypot": {"website": "http://example.org"},
        "no stamp": {"stamp": ""},
        "other key": {"key": key, "stamp": portal.stamp(str(uuid4()))},
        "old stamp": {"key": key, "stamp": portal.stamp(key, seconds_ago=90_000)},
    }[trick]

    answer = portal.post(**fields)

    assert 422 == answer.status_code
    assert [] == portal.scalars(sa.select(Gift))
    assert [] == portal.sandbox.requests("POST", _STRIPE)


def test_c1_the_same_form_twice_is_one_session(portal: Portal) -> None:
    """C1: a double click, or a resend, leads to one page and one gift."""
    form = portal.form()
    client = portal.client()

    answers = [client.post("/give", data=form) for _ in range(3)]

    assert 1 == len({answer.location for answer in answers})
    assert 1 == len(portal.sandbox.requests("POST", _STRIPE))
    assert 1 == len(portal.scalars(sa.select(Gift)))


def test_c1_a_paid_form_sent_again_leads_to_the_thank_you_page(portal: Portal) -> None:
    """C3: going back and sending the same form again after paying charges nothing."""
    form = portal.form()
    client = portal.client()
    landing = portal.sandbox.pay(client.post("/give", data=form).location).headers["Location"]
    portal.send_all()

    again = client.post("/give", data=form)

    assert again.location in landing
    assert 1 == len(portal.sandbox.requests("POST", _STRIPE))


def test_c2_a_second_form_minutes_later_asks_first(portal: Portal) -> None:
    """C2: the same browser giving again is asked; somebody else with that address is not."""
    client = portal.client()
    landing = portal.sandbox.pay(client.post("/give", data=portal.form()).location)
    portal.land(landing.headers["Location"], client)

    asked = client.post("/give", data=portal.form())
    stranger = portal.post()
    meant = client.post("/give", data=portal.form(again="1"))

    assert "You gave" in asked.text
    assert 303 == stranger.status_code
    assert 303 == meant.status_code


def test_a_changed_form_replaces_the_open_page(portal: Portal) -> None:
    """Going back and changing the amount closes the first page and opens one with the new sum."""
    form = portal.form(amount="50")
    client = portal.client()
    first = client.post("/give", data=form)
    second = client.post("/give", data=form | {"amount": "75"})

    assert first.location != second.location
    assert portal.sandbox.pay(first.location).status_code != 303
    portal.sandbox.pay(second.location)
    portal.send_all()
    assert [(7500, 2, "received")] == portal.rows(
        sa.select(Gift.amount_minor, Gift.checkout_attempt, Gift.status)
    )


@pytest.mark.parametrize(("first", "second"), [("once", "monthly"), ("monthly", "once")])
def test_changing_between_once_and_monthly_closes_the_first_page(
    portal: Portal, first: str, second: str
) -> None:
    """Going back and choosing the other frequency leaves one page on which money can be taken."""
    form, client = portal.form(frequency=first), portal.client()
    replaced = client.post("/give", data=form)
    answer = client.post("/give", data=form | {"frequency": second})

    assert 303 == answer.status_code
    assert portal.sandbox.pay(replaced.location).status_code != 303
    portal.sandbox.pay(answer.location)
    portal.send_all()
    assert ["received"] == portal.scalars(sa.select(Gift.status).where(Gift.donor_id.is_not(None)))
    status = Gift.status if first == "once" else RecurringGift.status
    assert ["abandoned"] == portal.scalars(sa.select(status))[:1]


def test_changing_to_monthly_and_back_ends_with_one_open_page(portal: Portal) -> None:
    """Each change of mind replaces the page before; the first one is never handed out again."""
    form, client = portal.form(), portal.client()
    pages = [
        client.post("/give", data=form | {"frequency": frequency}).location
        for frequency in ("once", "monthly", "once", "monthly", "monthly")
    ]

    assert 4 == len(set(pages))
    assert pages[3] == pages[4]
    states = [page["status"] for page in portal.sandbox.listed("checkout/sessions")]
    assert ["open", "expired", "expired", "expired"] == states


@pytest.mark.parametrize(("first", "second"), [("once", "monthly"), ("monthly", "once")])
@pytest.mark.parametrize("told", ["before", "not yet"])
def test_a_form_paid_once_is_not_paid_again_the_other_way(
    portal: Portal, first: str, second: str, told: str
) -> None:
    """Whoever paid the first page and then sends its form the other way is shown what happened."""
    form, client = portal.form(frequency=first), portal.client()
    landing = portal.sandbox.pay(client.post("/give", data=form).location).headers["Location"]
    if told == "before":
        portal.send_all()

    answer = client.post("/give", data=form | {"frequency": second})
    thanks = portal.land(answer.location, client)

    assert answer.location in landing
    assert "has arrived" in thanks.text
    assert 1 == len(_opened(portal))
    portal.send_all()
    assert ["received"] == portal.scalars(sa.select(Gift.status).where(Gift.donor_id.is_not(None)))


def test_the_first_page_is_closed_by_the_next_try_when_stripe_does_not_answer(
    portal: Portal,
) -> None:
    """No page of the other frequency opens while the first one could not be closed."""
    form, client = portal.form(), portal.client()
    client.post("/give", data=form)
    portal.sandbox.fault("429", path="/v1/checkout/sessions")
    refused = client.post("/give", data=form | {"frequency": "monthly"})
    answer = client.post("/give", data=form | {"frequency": "monthly"})

    assert [503, 303] == [refused.status_code, answer.status_code]
    sessions = portal.sandbox.listed("checkout/sessions")
    assert [("subscription", "open"), ("payment", "expired")] == [
        (page["mode"], page["status"]) for page in sessions
    ]


def test_coming_back_unpaid_keeps_what_was_typed(portal: Portal) -> None:
    """The cancel link of the payment page fills the form again."""
    portal.post(amount="75", name="Sam Example", tribute_type="honour", tribute_name="Grandma")
    (gift,) = portal.scalars(sa.select(Gift))

    page = portal.client().get(f"/give?again={gift.public_id}").text

    assert "Nothing was charged" in page
    for value in ("75", "Sam Example", "Grandma", "donor@example.org"):
        assert f'value="{value}"' in page


def test_a_signed_in_partner_is_offered_to_change(portal: Portal) -> None:
    """A donor with a monthly gift who starts another is told so; nobody else learns of it."""
    portal.give(frequency="monthly", amount="30")
    portal.send_all()
    (giver,) = portal.scalars(sa.select(RecurringGift))
    client = portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"donor:{giver.donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000

    told = client.post("/give", data=portal.form(frequency="monthly"))
    anyway = client.post("/give", data=portal.form(frequency="monthly", second_monthly="1"))
    stranger = portal.post(frequency="monthly")

    assert "You already give every month" in told.text
    assert 303 == anyway.status_code
    assert 303 == stranger.status_code


def test_a_second_monthly_gift_is_mentioned_in_its_receipt(portal: Portal) -> None:
    """Whoever started a second monthly gift by accident reads it in the mail, not in the form."""
    for amount in ("30", "20"):
        portal.give(frequency="monthly", amount=amount)
        portal.send_all()

    newest = portal.mails("donor@example.org")[0]
    assert "$30" in newest["text"]


@pytest.mark.parametrize(("fault", "attempts"), [("500_before", 2), ("timeout", 1)])
def test_l8_no_answer_from_stripe_is_a_clear_page_and_one_session(
    portal: Portal, fault: str, attempts: int
) -> None:
    """When Stripe does not answer, nothing is charged; trying again leads to one page.

    Stripe repeats an error of its own for a day, so only a silence is asked again under its key.
    """
    portal.sandbox.fault(fault, method="POST", path=_STRIPE, count=3)
    form = portal.form()
    client = portal.client()

    failed = client.post("/give", data=form)
    again = client.post("/give", data=form)

    assert 503 == failed.status_code
    assert "Nothing was charged" in failed.text
    assert form["key"] == hidden(failed.text, "key")
    assert 303 == again.status_code
    assert [attempts] == portal.scalars(sa.select(Gift.checkout_attempt))


def test_c11_an_old_attempt_asks_stripe_before_it_starts_anew(portal: Portal) -> None:
    """C11: a form sent again a day later never posts the old attempt blindly."""
    form = portal.form()
    client = portal.client()
    first = client.post("/give", data=form)
    (asked_at,) = portal.scalars(sa.select(Gift.checkout_asked_at))
    with portal.engine.begin() as connection:
        yesterday = asked_at - timedelta(hours=25)
        connection.execute(sa.update(Gift).values(checkout_asked_at=yesterday))
    portal.sandbox.pay(first.location)

    again = client.post("/give", data=form)

    assert "/give/thanks" in again.location
    assert 1 == len(_opened(portal))
    assert [GiftStatus.RECEIVED] == portal.scalars(sa.select(Gift.status))


def test_the_empty_form_is_the_same_kept_or_rendered(portal: Portal) -> None:
    """A visitor gets a fresh key and stamp in a page that is otherwise rendered once."""
    client = portal.client()
    first, second = (client.get("/give?frequency=monthly&currency=EUR").text for _ in range(2))
    keys = {hidden(page, "key") for page in (first, second)}
    stamps = {hidden(page, "stamp") for page in (first, second)}
    portal.app.extensions["blanks"] = Blanks()
    rendered = client.get("/give?frequency=monthly&currency=EUR").text

    def without_key(page: str) -> str:
        return page.replace(hidden(page, "stamp"), "").replace(hidden(page, "key"), "")

    assert 2 == len(keys)
    assert all(stamp.startswith(tuple(keys)) for stamp in stamps)
    assert without_key(first) == without_key(second) == without_key(rendered)
