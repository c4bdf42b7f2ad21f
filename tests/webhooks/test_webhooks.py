"""Stripe's door: group D of the abuse plan."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from donorportal.app import gateway_for
from donorportal.config import ConfigurationRefused
from donorportal.giving.models import Gift
from donorportal.jobs.models import Job
from donorportal.webhooks.models import EventState, InboundEvent
from tests.portal_in_process import WEBHOOK_SECRET, Portal, settings_for


def _event(**more: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "pi_nobody_knows", "object": "payment_intent"}},
    } | more


def _signature(payload: str, *, at: float | None = None, secret: str = WEBHOOK_SECRET) -> str:
    signed_at = int(at or time.time())
    return str(stripe.WebhookSignature.generate_signature_header(payload, secret, signed_at))


def _post(portal: Portal, payload: str, signature: str | None) -> int:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    return portal.client().post("/webhooks/stripe", data=payload, headers=headers).status_code


def _states(portal: Portal) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in portal.rows(sa.select(InboundEvent.state, InboundEvent.note))]


def test_d1_unsigned_events_are_refused_and_not_stored(portal: Portal) -> None:
    """D1: no, empty, junk, foreign, old and future signatures get 400 and leave nothing."""
    payload = json.dumps(_event())
    good = _signature(payload)
    bad = [
        None,
        "",
        "junk",
        "t=,v1=",
        good.replace("v1=", "v0="),
        _signature(payload, secret="whsec_" + "x" * 32),
        _signature(payload, at=time.time() - 400),
        _signature(payload, at=time.time() + 400),
    ]

    assert {400} == {_post(portal, payload, signature) for signature in bad}
    assert [] == portal.scalars(sa.select(InboundEvent))


def test_d1_either_of_two_secrets_opens_while_one_replaces_the_other(portal: Portal) -> None:
    """A secret can be rolled: events signed with the old or with the new one are taken."""
    payload = json.dumps(_event())
    other = "whsec_" + "n" * 32
    rolled = settings_for(
        portal.settings.database_url,
        portal.sandbox,
        STRIPE_WEBHOOK_SECRETS=f"{WEBHOOK_SECRET},{other}",
    )
    gateway = gateway_for(rolled)

    for secret in (WEBHOOK_SECRET, other):
        signature = _signature(payload, secret=secret)
        assert "evt_1" == gateway.verify_event(payload.encode(), signature).event_id


@pytest.mark.parametrize("secrets", ["", "whsec_", "secret", "whsec_abc,"])
def test_d2_no_secret_no_start(portal: Portal, secrets: str) -> None:
    """D2: an empty or malformed signing secret keeps the program from starting."""
    if secrets == "whsec_abc,":
        assert settings_for("sqlite://", portal.sandbox, STRIPE_WEBHOOK_SECRETS=secrets)
        return
    with pytest.raises(ConfigurationRefused, match="STRIPE_WEBHOOK_SECRETS"):
        settings_for("sqlite://", portal.sandbox, STRIPE_WEBHOOK_SECRETS=secrets)


def test_d3_an_altered_body_is_refused(portal: Portal) -> None:
    """D3: one other byte, or the same JSON written differently, does not pass."""
    payload = json.dumps(_event())
    signature = _signature(payload)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(payload) - 1), st.characters(codec="ascii"))
    def alter(place: int, mark: str) -> None:
        altered = payload[:place] + mark + payload[place + 1 :]
        expected = 200 if altered == payload else 400
        assert expected == _post(portal, altered, signature)

    alter()
    assert 400 == _post(portal, json.dumps(_event(), indent=1), signature)


def test_signed_junk_is_refused(portal: Portal) -> None:
    """A body that is signed but no event is refused with 400, not with an error of ours."""
    for payload in ("", "null", "[]", "{}", '{"id": 1}', '{"data": {"object": []}}', "\u0000"):
        assert 400 == _post(portal, payload, _signature(payload))


def test_d5_the_same_event_at_once_is_one_effect(portal: Portal) -> None:
    """D5: fifty parallel deliveries are all answered with 200 and do one thing."""
    portal.give()
    (event,) = portal.events("checkout.session.completed")

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: portal.send(event).status_code, range(50)))
    portal.work()

    assert {200} == set(statuses)
    assert 1 == len(portal.scalars(sa.select(InboundEvent)))
    assert 1 == len(portal.scalars(sa.select(Gift).where(Gift.status == "received")))
    assert 1 == len(portal.mails("donor@example.org"))


@pytest.mark.parametrize(
    ("more", "state", "note"),
    [
        ({"type": "invention.made"}, EventState.QUARANTINED, "nobody has looked at"),
        ({"type": "charge.dispute.created"}, EventState.QUARANTINED, "does not know the object"),
        ({}, EventState.QUARANTINED, "does not know the object"),
        ({"type": "customer.created"}, EventState.IGNORED, "of no concern"),
        ({"livemode": True}, EventState.QUARANTINED, "test and live"),
        ({"account": "acct_other"}, EventState.QUARANTINED, "not ours"),
        (
            {"data": {"object": {"object": "payment_intent"}}},
            EventState.QUARANTINED,
            "names no object",
        ),
    ],
)
def test_d8_d10_what_is_strange_is_kept_for_a_person(
    portal: Portal, more: dict[str, Any], state: EventState, note: str
) -> None:
    """D8, D10: unknown types, objects, accounts and modes: 200, stored, set aside, visible."""
    assert 200 == portal.send(_event(**more)).status_code
    portal.work()

    ((found, why),) = _states(portal)
    assert (state, True) == (found, note in str(why))


def test_d10_another_api_version_is_followed_and_noted(portal: Portal) -> None:
    """D10: an endpoint with an old version loses no gift, and staff are told."""
    portal.give()
    for event in portal.events("payment_intent.succeeded"):
        portal.send(event | {"api_version": "2020-08-27"})
    portal.work()

    assert ["received"] == portal.scalars(sa.select(Gift.status))
    ((state, note),) = _states(portal)
    assert EventState.PROCESSED == state
    assert "2020-08-27" in str(note)


def test_a_payment_that_is_not_ours_is_set_aside(portal: Portal) -> None:
    """A payment made by another program on the same account is shown, not booked."""
    portal.give()
    with portal.engine.begin() as connection:
        connection.execute(sa.text("UPDATE gift SET public_id = :other"), _other_id(portal))

    for event in portal.events("payment_intent.succeeded"):
        portal.send(event)
    portal.work()

    assert {EventState.QUARANTINED} == {state for state, _ in _states(portal)}
    assert ["started"] == portal.scalars(sa.select(Gift.status))


def _other_id(portal: Portal) -> dict[str, Any]:
    on_sqlite = portal.engine.dialect.name == "sqlite"
    text = "00000000000000000000000000000001"
    return {
        "other": text if on_sqlite else f"{text[:8]}-{text[8:12]}-{text[12:16]}-0000-{text[20:]}"
    }


def test_d9_stripe_out_of_reach_is_tried_again(portal: Portal) -> None:
    """D9: while Stripe does not answer the job waits, visibly, and then books."""
    portal.give()
    (event,) = portal.events("payment_intent.succeeded")
    portal.sandbox.fault("500_before", method="GET", path="/v1/payment_intents", count=3)
    portal.send(event)
    portal.work()

    ((attempts, error),) = portal.rows(
        sa.select(Job.attempts, Job.error).where(Job.task == "webhooks.process")
    )
    assert (1, True) == (attempts, "GatewayFailed" in str(error))
    with portal.engine.begin() as connection:
        connection.execute(sa.update(Job).values(run_at=Job.created_at))
    portal.work()
    assert ["received"] == portal.scalars(sa.select(Gift.status))


def test_d12_only_a_post_opens_the_door(portal: Portal) -> None:
    """D12: looking at the webhook does nothing."""
    client = portal.client()

    assert 405 == client.get("/webhooks/stripe").status_code
    assert 405 == client.head("/webhooks/stripe").status_code
    assert 405 == client.put("/webhooks/stripe").status_code


def test_no_stripe_call_is_made_inside_the_request(portal: Portal) -> None:
    """Taking an event in asks Stripe nothing."""
    portal.give()
    (event,) = portal.events("checkout.session.completed")
    before = len(portal.sandbox.requests())

    portal.send(event)

    assert before == len(portal.sandbox.requests())


def test_d14_a_burst_is_taken_in_and_none_is_lost(portal: Portal) -> None:
    """D14: a thousand events after an outage are all stored, and all processed in any order."""
    for number in range(1000):
        event = _event(id=f"evt_{number}", type="customer.created")
        assert 200 == portal.send(event).status_code
    portal.work()

    counted = portal.rows(
        sa.select(InboundEvent.state, sa.func.count()).group_by(InboundEvent.state)
    )
    assert [(EventState.IGNORED, 1000)] == [tuple(row) for row in counted]


def test_a_payment_in_a_currency_we_do_not_know_is_set_aside(portal: Portal) -> None:
    """What we cannot count is shown to a person; the job does not fail for ever."""
    client = stripe.StripeClient(
        portal.settings.stripe_secret_key,
        base_addresses={"api": portal.settings.stripe_api_base},
        max_network_retries=0,
    )
    line: Any = {
        "quantity": 1,
        "price_data": {"currency": "thb", "unit_amount": 50000, "product": "donorportal_gift"},
    }
    page = client.v1.checkout.sessions.create(
        {"mode": "payment", "line_items": [line], "success_url": "http://localhost/x"}
    )
    portal.sandbox.pay(str(page.url))
    for event in portal.events("payment_intent.succeeded"):
        portal.send(event)
    portal.work()

    ((state, note),) = _states(portal)
    assert (EventState.QUARANTINED, True) == (state, "currency" in str(note))
