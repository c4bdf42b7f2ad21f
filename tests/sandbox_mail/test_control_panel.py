"""The control panel's page: what it shows and what its forms do."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.sandbox_mail.filling import Stripe, fill_the_panel


def test_an_empty_panel_says_so(web: FlaskClient) -> None:
    """Before anything happened each list has a sentence instead of rows."""
    page = web.get("/_sandbox").text

    assert "No charge yet." in page
    assert "No monthly gift yet." in page
    assert "The site has asked for nothing yet." in page
    assert "<table>" not in page


def test_it_shows_what_happened(web: FlaskClient, stripe: Stripe) -> None:
    """Payments, renewals, disputes, payouts, deliveries and requests are on the page."""
    fill_the_panel(stripe)

    page = re.sub(r"\s+", " ", web.get("/_sandbox").text)

    assert "$50.00" in page
    assert "$30.00 every month" in page
    assert "ann@example.org" in page
    assert "needs response" in page
    assert "checkout.session.completed" in page
    assert "POST /v1/checkout/sessions" in page
    assert "<code>409</code> for any method <code>/v1/refunds</code>" in page


def test_a_ticked_knob_can_be_cleared(web: FlaskClient) -> None:
    """The form turns a knob on with its box ticked, and off without."""
    on = {"webhook_reorder": ["true", "false"], "webhook_duplicate": "3"}
    web.post("/_sandbox/knobs", data=on)
    turned = web.get("/_sandbox/knobs").get_json()
    assert (turned["webhook_reorder"], turned["webhook_duplicate"]) == (True, 3)

    web.post("/_sandbox/knobs", data={"webhook_reorder": "false", "webhook_duplicate": "1"})

    turned = web.get("/_sandbox/knobs").get_json()
    assert (turned["webhook_reorder"], turned["webhook_duplicate"]) == (False, 1)


def test_faults_wait_in_line_until_removed(web: FlaskClient) -> None:
    """The form adds one fault after another, and one button removes them all."""
    for kind in ("409", "500_after"):
        answer = web.post("/_sandbox/faults", data={"kind": kind, "path": "/v1/customers"})
        assert answer.headers["Location"] == "/_sandbox"
    waiting = web.get("/_sandbox/knobs").get_json()["faults"]
    assert [fault["kind"] for fault in waiting] == ["409", "500_after"]

    web.post("/_sandbox/faults/clear")

    assert web.get("/_sandbox/knobs").get_json()["faults"] == []


def test_no_page_may_do_more_than_show_itself(web: FlaskClient, stripe: Stripe) -> None:
    """Every page has a policy without scripts, and none may be framed."""
    pages = ("/_sandbox", "/mail/", "/authenticator", stripe.checkout("payment", 5000))

    for path in pages:
        policy = web.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "knob",
    [
        {"webhook_duplicate": "many"},
        {"webhook_delay_seconds": -1},
        {"webhook_timing": "later"},
        {"webhook_timing": []},
        {"webhook_api_version": 3},
        {"webhook_retry_seconds": 5},
        {"faults": [{"kind": "409", "count": "often"}]},
        {"faults": [{"kind": "earthquake"}]},
        {"faults": ["409"]},
        {"unknown": 1},
    ],
)
def test_senseless_knobs_are_refused(web: FlaskClient, knob: dict[str, Any]) -> None:
    """A knob or setting that makes no sense answers 400 and changes nothing."""
    before = web.get("/_sandbox/knobs").get_json()

    assert web.post("/_sandbox/knobs", json=knob).status_code == 400
    assert web.get("/_sandbox/knobs").get_json() == before
