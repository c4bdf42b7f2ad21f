"""Test cards and bank debits: what a payment method looks like and how it will behave."""

import hashlib
import re

from donorportal.sandbox import lists
from donorportal.sandbox.customers import load_customer
from donorportal.sandbox.declines import CARD_OUTCOMES
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import changed, emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction
from donorportal.sandbox.typecheck import minimal_part

DEBITS = ("us_bank_account", "bacs_debit", "sepa_debit")
# What each test number does: `decline` always, `later` only once it is charged off the page;
# `refund` is what becomes of refunds, `dispute` and `fraud_warning` follow each charge.
_BEHAVIOUR: dict[str, Body] = {
    "4000000000000002": {"decline": "generic_decline"},
    "4000000000009995": {"decline": "insufficient_funds"},
    "4000000000000069": {"decline": "expired_card"},
    "4000000000009987": {"decline": "lost_card"},
    "4000000000009979": {"decline": "stolen_card"},
    "4000000000006975": {"decline": "card_velocity_exceeded"},
    "4000000000000127": {"decline": "incorrect_cvc"},
    "4000000000000119": {"decline": "processing_error"},
    "4000002500003155": {"three_d_secure": True},
    "4000000000000341": {"later": "generic_decline"},
    "4000000000007726": {"refund": "pending"},
    "4000000000005126": {"refund": "failed"},
    "4000000000000259": {"dispute": "fraudulent"},
    "4000000000002685": {"dispute": "product_not_received"},
    "4000000000005423": {"fraud_warning": True},
}
_KNOWN = {"4242424242424242", "5555555555554444", "378282246310005", *_BEHAVIOUR}
TEST_CARDS = (
    ("4242 4242 4242 4242", "succeeds"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0000 0000 0069", "has expired"),
    ("4000 0025 0000 3155", "asks for 3-D Secure"),
    ("4000 0000 0000 0341", "is accepted, then fails when charged later"),
    ("4000 0000 0000 5126", "is accepted, but cannot be refunded in the end"),
    ("4000 0000 0000 0259", "is accepted, then disputed"),
    ("4000 0000 0000 5423", "is accepted, with an early fraud warning"),
)


def card_method(tx: Transaction, number: str, month: int, year: int, details: Body) -> Body:
    """Store a card that the donor typed. Raises: ApiError for a number that is no test card."""
    digits = re.sub(r"[ -]", "", number)
    if digits not in _KNOWN:
        raise invalid("This is a sandbox: only its test cards work here.", "number")
    fields = {
        "brand": {"5": "mastercard", "3": "amex"}.get(digits[0], "visa"),
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": {"5": "mastercard", "3": "american_express"}.get(digits[0], "visa"),
        "exp_month": month,
        "exp_year": year,
        "fingerprint": _fingerprint(digits),
        "funding": "credit",
        "last4": digits[-4:],
        "networks": {
            "available": ["visa" if digits[0] == "4" else "mastercard"],
            "preferred": None,
        },
        "three_d_secure_usage": {"supported": True},
        "regulated_status": "unregulated",
    }
    card = minimal_part("payment_method", "card") | fields
    for absent in ("description", "iin", "issuer"):
        card.pop(absent, None)
    return _store(tx, "card", card, details, _BEHAVIOUR.get(digits, {}))


def debit_method(tx: Transaction, kind: str, details: Body) -> Body:
    """Store a bank account to debit."""
    fields = minimal_part("payment_method", kind) | {
        "fingerprint": _fingerprint(kind),
        "last4": "6789",
    }
    if kind == "us_bank_account":
        fields |= {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "SANDBOX BANK",
            "routing_number": "110000000",
        }
    return _store(tx, kind, fields, details, {})


def _store(tx: Transaction, kind: str, fields: Body, details: Body, behaviour: Body) -> Body:
    billing = minimal_part("payment_method", "billing_details") | details
    method = new(
        tx,
        "payment_method",
        type=kind,
        billing_details=billing,
        metadata={},
        allow_redisplay="limited",
        customer=None,
        **{kind: fields},
    )
    tx.set_private(method["id"], **behaviour)
    return tx.insert(method)


def _fingerprint(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()[:16]


@operation("GET", "/v1/payment_methods/<id>", "PaymentMethodRetrieveParams")
def retrieve_method(tx: Transaction, params: Body, method_id: str) -> Body:  # noqa: ARG001
    """Answer a payment method."""
    return load_method(tx, method_id)


@operation(
    "GET",
    "/v1/payment_methods",
    "PaymentMethodListParams",
    accepts=f"customer type {lists.PAGING}",
)
def list_methods(tx: Transaction, params: Body) -> Body:
    """Answer a customer's payment methods."""
    fields = ("customer", "type")
    return lists.page(tx, params, "payment_method", "/v1/payment_methods", fields=fields)


@operation(
    "POST",
    "/v1/payment_methods/<id>/attach",
    "PaymentMethodAttachParams",
    accepts="customer",
)
def attach_method(tx: Transaction, params: Body, method_id: str) -> Body:
    """Attach a payment method to a customer."""
    method = load_method(tx, method_id)
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    load_customer(tx, params["customer"], "customer")
    return attach(tx, method, params["customer"])


@operation("POST", "/v1/payment_methods/<id>/detach", "PaymentMethodDetachParams")
def detach_method(tx: Transaction, params: Body, method_id: str) -> Body:  # noqa: ARG001
    """Detach a payment method; it can never be attached again."""
    method = load_method(tx, method_id)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer.")
    former, method["customer"] = method["customer"], None
    tx.set_private(method_id, detached=True)
    tx.save(method)
    emit(tx, "payment_method.detached", method, {"customer": former})
    return method


def attach(tx: Transaction, method: Body, customer: str) -> Body:
    """Make a payment method the customer's. Raises: ApiError when it cannot be."""
    if method["customer"] == customer:
        return method
    if method["customer"] is not None or tx.private(method["id"]).get("detached"):
        raise invalid("This PaymentMethod was previously used and cannot be attached again.")
    method["customer"] = customer
    tx.save(method)
    emit(tx, "payment_method.attached", method)
    return method


def load_method(tx: Transaction, method_id: str, param: str = "id") -> Body:
    """Return a payment method. Raises: ApiError when there is none."""
    method = tx.peek(method_id, "payment_method")
    if method is None:
        raise missing("payment_method", method_id, param)
    return method


def choose_outcome(tx: Transaction, method_id: str, outcome: str | None) -> Body:
    """Let every later charge of a saved card fail in one way, or with None let it succeed."""
    method = load_method(tx, method_id)
    if method["type"] != "card":
        raise invalid("Only cards are declined; see /_sandbox/async for bank debits.")
    if outcome is not None and outcome not in CARD_OUTCOMES:
        raise invalid(f"A card fails as one of: {', '.join(sorted(CARD_OUTCOMES))}.", "outcome")
    tx.set_private(method_id, decline=None, later=outcome)
    return method


def renew_card(tx: Transaction, method_id: str, changes: Body) -> Body:
    """Let the bank replace a saved card, as card updaters do: another expiry, perhaps number.

    `changes` has any of `exp_month`, `exp_year` and `last4`.
    """
    method = load_method(tx, method_id)
    if method["type"] != "card" or method["customer"] is None:
        raise invalid("Only a saved card is renewed.")
    before = {"card": changed(method["card"], method["card"] | changes)}
    method["card"] |= changes
    tx.save(method)
    emit(tx, "payment_method.automatically_updated", method, before)
    return method
