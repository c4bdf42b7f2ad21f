"""What Stripe is told, in its own words: prices, and the page to pay on."""

from typing import Any

from donorportal.money import Money
from donorportal.payments.gateway import CheckoutRequest

# The products that donors see on Stripe's page; "donorportal stripe setup" creates them.
PRODUCT_ONCE = "donorportal_gift"
PRODUCT_MONTHLY = "donorportal_monthly_gift"

EVERY_MONTH = {"recurring": {"interval": "month"}}


def checkout_params(request: CheckoutRequest) -> dict[str, Any]:
    """Return what Stripe wants to know to open a page.

    Metadata of a session does not reach the payment or the subscription, so it is given to each.
    """
    amount = price_of(request.amount, PRODUCT_MONTHLY if request.monthly else PRODUCT_ONCE)
    params: dict[str, Any] = {
        "submit_type": "donate",
        "locale": request.locale,
        "client_reference_id": request.reference,
        "customer_email": request.email,
        "success_url": f"{request.return_url}?cs={{CHECKOUT_SESSION_ID}}",
        "cancel_url": request.cancel_url,
        "expires_at": int(request.expires_at.timestamp()),
        "adaptive_pricing": {"enabled": False},
        "allowed_payment_method_types": list(request.methods),
    }
    if request.monthly:
        metadata = {"recurring_gift": request.reference}
        price = amount | EVERY_MONTH
        return params | {
            "mode": "subscription",
            "metadata": metadata,
            "line_items": [{"quantity": 1, "price_data": price}],
            "subscription_data": {"metadata": metadata},
        }
    metadata = {"gift": request.reference}
    return params | {
        "mode": "payment",
        "metadata": metadata,
        "customer_creation": "always",
        "line_items": [{"quantity": 1, "price_data": amount}],
        "payment_intent_data": {"metadata": metadata},
    }


def price_of(amount: Money, product: str) -> dict[str, Any]:
    """Return a price made for one gift."""
    return {
        "currency": amount.currency.lower(),
        "unit_amount": amount.minor,
        "product": product,
    }
