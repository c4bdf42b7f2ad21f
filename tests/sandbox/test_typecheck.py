"""Layer 1 of honesty: the SDK's own types, used as a specification at run time."""

from typing import Any

import pytest
import stripe
from stripe import _api_version

from donorportal.sandbox.form import parse_form
from donorportal.sandbox.objects import _PREFIXES, API_VERSION
from donorportal.sandbox.sdktypes import object_class, params_class
from donorportal.sandbox.typecheck import check_request, check_response, decode, minimal
from tests.stripeparams import checkout_params

SESSION = params_class("checkout.SessionCreateParams")


def test_the_version_is_a_decision() -> None:
    """The SDK speaks exactly the version that the sandbox was written for."""
    assert _api_version._ApiVersion.CURRENT == API_VERSION


@pytest.mark.parametrize("mode", ["payment", "subscription", "setup"])
def test_what_we_send_is_valid(mode: str) -> None:
    """The parameters of each kind of Checkout Session pass."""
    assert check_request(SESSION, checkout_params("prod_1", mode)) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"payment_method_types": ["card"]}, "payment_method_types: unknown field"),
        (
            {"ui_mode": "embedded"},
            "ui_mode: 'embedded' is not one of: elements, embedded_page, form, hosted_page",
        ),
        (
            {"submit_type": "donation"},
            "submit_type: 'donation' is not one of: auto, book, donate, pay, subscribe",
        ),
        ({"expires_at": "soon"}, "expires_at: expected integer, got 'soon'"),
        ({"expires_at": True}, "expires_at: expected integer, got True"),
        ({"sucess_url": "x"}, "sucess_url: unknown field"),
        (
            {"line_items": [{"price_data": {"product": "p"}}]},
            "line_items[0].price_data.currency: missing",
        ),
    ],
)
def test_common_mistakes_are_found(change: dict[str, Any], finding: str) -> None:
    """Parameters of older versions, wrong types and slips of the pen are each named."""
    assert check_request(SESSION, checkout_params("prod_1") | change) == [finding]


def test_inline_products_are_refused_outside_checkout() -> None:
    """`product_data` is for Checkout only; a subscription's price names a product."""
    price = {"currency": "gbp", "unit_amount": 1, "recurring": {"interval": "month"}}
    params = {"items": [{"id": "si_1", "price_data": price | {"product_data": {"name": "x"}}}]}

    assert check_request(params_class("SubscriptionUpdateParams"), params) == [
        "items[0].price_data.product_data: unknown field",
        "items[0].price_data.product: missing",
    ]


@pytest.mark.parametrize("kind", _PREFIXES)
def test_the_plainest_object_is_valid(kind: str) -> None:
    """The minimal object of every kind satisfies its own class."""
    cls = object_class(kind)

    assert cls is not None
    assert check_response(cls, minimal(kind)) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"subscription": "sub_1"}, "invoice.subscription: unknown field"),
        ({"total": "100"}, "invoice.total: expected integer, got '100'"),
        ({"total": 1.5}, "invoice.total: expected integer, got 1.5"),
        (
            {"status": "settled"},
            "invoice.status: 'settled' is not one of: draft, open, paid, uncollectible, void",
        ),
        ({"lines": []}, "invoice.lines: expected an object, got []"),
    ],
)
def test_wrong_answers_are_found(change: dict[str, Any], finding: str) -> None:
    """Fields of older versions, wrong types and unknown states cannot leave the sandbox."""
    assert check_response(stripe.Invoice, minimal("invoice") | change) == [finding]


def test_a_missing_field_is_found() -> None:
    """A field that is always there must be there."""
    invoice = minimal("invoice")
    del invoice["currency"]

    assert check_response(stripe.Invoice, invoice) == ["invoice.currency: missing"]


def test_an_unknown_event_is_found() -> None:
    """An event name that Stripe does not have is refused."""
    event = minimal("event") | {"type": "gift.received"}

    (finding,) = check_response(stripe.Event, event)
    assert finding.startswith("event.type: 'gift.received' is not one of:")


def test_forms_are_decoded_by_type() -> None:
    """Digits become integers, `true` becomes a boolean, but only where the type says so."""
    form = parse_form(
        [
            ("mode", "payment"),
            ("client_reference_id", "1500"),
            ("expires_at", "1500"),
            ("line_items[0][quantity]", "1"),
            ("line_items[0][price_data][currency]", "gbp"),
            ("line_items[0][price_data][unit_amount]", "1500"),
            ("adaptive_pricing[enabled]", "false"),
            ("metadata[gift]", "007"),
            ("expand[]", "customer"),
            ("expand[]", "invoice"),
        ]
    )

    assert decode(SESSION, form) == {
        "mode": "payment",
        "client_reference_id": "1500",
        "expires_at": 1500,
        "line_items": [{"quantity": 1, "price_data": {"currency": "gbp", "unit_amount": 1500}}],
        "adaptive_pricing": {"enabled": False},
        "metadata": {"gift": "007"},
        "expand": ["customer", "invoice"],
    }


@pytest.mark.parametrize("text", ["1e3", "१५", "", " 1", "1.0", "+1", "9" * 40])
def test_only_plain_digits_are_integers(text: str) -> None:
    """Anything but ASCII digits stays a text, which is then refused."""
    params = decode(SESSION, {"expires_at": text})

    assert check_request(SESSION, params) == [f"expires_at: expected integer, got {text!r}"]


def test_clearing_values_are_understood() -> None:
    """An empty value clears what may be cleared."""
    update = params_class("SubscriptionUpdateParams")
    params = decode(update, {"pause_collection": "", "metadata": "", "trial_end": "now"})

    assert check_request(update, params) == []
    assert params == {"pause_collection": "", "metadata": "", "trial_end": "now"}
