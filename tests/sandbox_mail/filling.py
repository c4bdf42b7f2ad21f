"""Something to see on the sandbox's pages."""

from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class Stripe:
    """The least of an API client: enough to have something on the pages."""

    def __init__(self, web: FlaskClient) -> None:
        self.web = web

    def post(self, path: str, **params: Any) -> Any:
        """Create something and return its JSON."""
        answer = self.web.post(path, data=params, headers={"Authorization": "Bearer sk_test_pages"})
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def get(self, path: str) -> Any:
        """Read something."""
        return self.web.get(path, headers={"Authorization": "Bearer sk_test_pages"}).get_json()

    def checkout(self, mode: str, amount: int, **params: Any) -> str:
        """Open a Checkout Session and return the path of its page."""
        product = self.post("/v1/products", name="Where it is needed most")
        price = "line_items[0][price_data]"
        params = {
            "mode": mode,
            "success_url": "http://site.example/thanks",
            "cancel_url": "http://site.example/give",
            "customer_email": "ann@example.org",
            "line_items[0][quantity]": 1,
            f"{price}[currency]": "usd",
            f"{price}[unit_amount]": amount,
            f"{price}[product]": product["id"],
        } | params
        if mode == "subscription":
            params[f"{price}[recurring][interval]"] = "month"
        url: str = self.post("/v1/checkout/sessions", **params)["url"]
        return urlsplit(url).path

    def pay(self, path: str, number: str = "4242424242424242") -> TestResponse:
        """Fill in the page as a donor does and press its button."""
        card = {"number": number, "expiry": "12/34", "cvc": "123", "email": "ann@example.org"}
        return self.web.post(path, data=card)


def fill_the_panel(stripe: Stripe) -> None:
    """Have a gift, a monthly gift, a dispute, a payout and a fault to look at."""
    stripe.post("/v1/webhook_endpoints", **{"url": "http://127.0.0.1:9/", "enabled_events[0]": "*"})
    stripe.pay(stripe.checkout("subscription", 3000))
    stripe.pay(stripe.checkout("payment", 5000))
    listed = stripe.get("/v1/charges")["data"]
    stripe.web.post("/_sandbox/disputes", json={"charge": listed[0]["id"]})
    stripe.web.post("/_sandbox/payouts", json={})
    stripe.web.post("/_sandbox/faults", json={"kind": "409", "path": "/v1/refunds"})
