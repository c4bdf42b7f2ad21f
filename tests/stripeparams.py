"""What the product asks of Stripe, as parameters for tests."""

import time
from typing import Any

import stripe

API_VERSION = "2026-10-28.endive"
HOME = "http://localhost:8000"


def checkout_params(product: str, mode: str = "payment", **more: Any) -> Any:
    """Return the parameters of a Checkout Session in a mode: 25.00 GBP once or 15.00 monthly."""
    params: dict[str, Any] = {
        "mode": mode,
        "success_url": HOME + "/give/thanks?cs={CHECKOUT_SESSION_ID}",
        "cancel_url": HOME + "/give",
        "client_reference_id": "gift-1",
        "metadata": {"gift": "gift-1"},
        "expires_at": int(time.time()) + 35 * 60,
        "allowed_payment_method_types": ["card"],
        "adaptive_pricing": {"enabled": False},
    }
    price: dict[str, Any] = {"currency": "gbp", "unit_amount": 2500, "product": product}
    if mode == "payment":
        params |= {
            "customer_creation": "always",
            "submit_type": "donate",
            "payment_intent_data": {"metadata": {"gift": "gift-1"}},
        }
    if mode == "subscription":
        price |= {"unit_amount": 1500, "recurring": {"interval": "month"}}
        params["subscription_data"] = {"metadata": {"recurring_gift": "rg-1"}}
    if mode == "setup":
        params |= {"currency": "gbp", "setup_intent_data": {"metadata": {"subscription_id": "s"}}}
        del params["adaptive_pricing"]
    else:
        params["line_items"] = [{"quantity": 1, "price_data": price}]
    params |= more
    if "customer" in params:
        params.pop("customer_creation", None)
    return params


def open_session(
    client: stripe.StripeClient, mode: str = "payment", **more: Any
) -> stripe.checkout.Session:
    """Open a Checkout Session for a new product."""
    product = client.v1.products.create({"name": "Gift"})
    return client.v1.checkout.sessions.create(checkout_params(product.id, mode, **more))
