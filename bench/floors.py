"""The least that Flask can do for the same result: what each of our pages is compared with.

No models, no forms, no layers: one function each, with a session, Jinja and raw SQL.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import psycopg
import stripe
from flask import Flask, redirect, render_template, request, session
from jinja2 import DictLoader
from werkzeug.wrappers import Response

_FORM = """<!doctype html><html lang="en"><head><title>{{ title }}</title></head><body>
<form method="post"><input type="hidden" name="csrf" value="{{ session.csrf }}">
{% for field in fields %}<div class="field"><label for="{{ field.name }}">{{ field.label }}</label>
<p class="hint" id="{{ field.name }}-hint">{{ field.hint }}</p>
<input class="input" id="{{ field.name }}" name="{{ field.name }}" value="{{ field.value }}"
aria-describedby="{{ field.name }}-hint" autocomplete="off" maxlength="200"></div>
{% endfor %}<button type="submit">Give</button></form></body></html>"""
_HISTORY = """<!doctype html><html lang="en"><head><title>Your gifts</title></head><body>
<ul>{% for year, currency, minor in years %}<li>{{ year }}: {{ minor }} {{ currency }}</li>
{% endfor %}</ul><table>{% for id, day, minor, currency, refunded, monthly, name, number in rows %}
<tr><th>{{ day }}</th><td>{{ name }}</td><td>{{ "Monthly" if monthly else "Once" }}</td>
<td>{{ "Refunded" if refunded else "Received" }}</td><td>{{ number }}</td>
<td>{{ "%d.%02d" % (minor // 100, minor % 100) }} {{ currency }}</td></tr>
{% endfor %}</table></body></html>"""
_PAGE_SQL = """SELECT gift.id, given_on, amount_minor, currency, refunded_minor,
recurring_gift_id IS NOT NULL, designation.name, receipt.number FROM gift
JOIN designation ON designation.code = designation_code
LEFT JOIN receipt ON receipt.gift_id = gift.id
WHERE donor_id = %s AND status = 'received' ORDER BY given_on DESC, gift.id DESC LIMIT 51"""
_TOTALS_SQL = """SELECT extract(year FROM given_on)::int, currency,
sum(amount_minor - refunded_minor)::bigint FROM gift
WHERE donor_id = %s AND status = 'received' GROUP BY 1, 2 ORDER BY 1 DESC"""
_GIFT_SQL = """INSERT INTO gift (public_id, key, amount_minor, currency, designation_code, email,
name, created_at, checkout_asked_at, status, checkout_attempt, fee_cover_minor, refunded_minor,
tribute_type, tribute_name, campaign, story, consents) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,
'started', 1, 0, 0, NULL, NULL, NULL, NULL, '{}')"""
_PAID_ON_SQL = "UPDATE gift SET checkout_remote_id = %s, checkout_url = %s WHERE public_id = %s"
_FIELDS = [
    {"name": f"f{n}", "label": f"Field {n}", "hint": f"What it is for: {n}.", "value": n}
    for n in range(40)
]


def giving_page() -> Flask:
    """Show a form of some kilobytes with a session and its token."""
    app = _app()

    @app.get("/give")
    def give() -> str:
        session.setdefault("csrf", "t" * 32)
        return render_template("form.html", title="Give", fields=_FIELDS)

    return app


def history_page() -> Flask:
    """Show fifty gifts and the totals of the donor whose number the session holds."""
    app, connection = _app(), _connection()

    @app.get("/sign-in/<int:donor>")
    def sign_in(donor: int) -> str:
        session["donor"] = donor
        return ""

    @app.get("/portal/gifts")
    def gifts() -> str:
        with connection().transaction():
            rows = connection().execute(_PAGE_SQL, (session["donor"],)).fetchall()
            years = connection().execute(_TOTALS_SQL, (session["donor"],)).fetchall()
        return render_template("history.html", rows=rows, years=years)

    return app


def webhook() -> Flask:
    """Verify an event and store it with one INSERT."""
    app, connection = _app(), _connection()
    secret = os.environ["STRIPE_WEBHOOK_SECRETS"]  # noqa: TID251 - a server's entry

    @app.post("/webhooks/stripe")
    def stripe_event() -> str:
        payload = request.get_data(as_text=True)
        header = request.headers["Stripe-Signature"]
        stripe.WebhookSignature.verify_header(payload, header, secret, 300)
        event = json.loads(payload)
        with connection().transaction():
            connection().execute(
                "INSERT INTO floor_event VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (event["id"], event["type"], payload),
            )
        return ""

    return app


def gift() -> Flask:
    """Check an event as the SDK does, and in one transaction keep it, its gift and a total."""
    app, connection = _app(), _connection()
    secret = os.environ["STRIPE_WEBHOOK_SECRETS"]  # noqa: TID251 - a server's entry

    @app.post("/webhooks/stripe")
    def stripe_event() -> str:
        payload = request.get_data(as_text=True)
        event = stripe.Webhook.construct_event(payload, request.headers["Stripe-Signature"], secret)
        thing = event.data.object
        with connection().transaction():
            connection().execute(
                "INSERT INTO floor_event VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (event.id, event.type, payload),
            )
            connection().execute(
                "INSERT INTO floor_given VALUES (%s, %s) ON CONFLICT (id) DO UPDATE"
                " SET minor = excluded.minor",
                (thing["id"], thing["amount"]),
            )
            connection().execute(
                "INSERT INTO floor_donor VALUES (%s, %s) ON CONFLICT (id) DO UPDATE"
                " SET minor = floor_donor.minor + excluded.minor",
                (thing["id"], thing["amount"]),
            )
        return ""

    return app


def checkout() -> Flask:
    """Store a gift with all its columns, open the page to pay on, and store which page it is.

    The same job as ours, in the table of ours: without the page's id nobody could say afterwards
    what became of the gift. What the floor does without is checks, limits and signatures.
    """
    app, connection = _app(), _connection()
    client = stripe.StripeClient(
        "sk_test_" + "1" * 24,
        base_addresses={"api": os.environ["STRIPE_API_BASE"]},  # noqa: TID251 - a server's entry
    )

    @app.post("/give")
    def give() -> Response:
        form, gift, now = request.form, str(uuid4()), datetime.now(UTC)  # noqa: TID251 - no layers
        amount = int(form["amount"]) * 100
        asked = (form["currency"], form["designation"], form["email"], form["name"])
        connection().execute(_GIFT_SQL, (gift, form["key"], amount, *asked, now, now))
        page = client.v1.checkout.sessions.create(
            _page(gift, amount, form["currency"], form["email"], now), {"idempotency_key": gift}
        )
        connection().execute(_PAID_ON_SQL, (page.id, page.url, gift))
        return redirect(str(page.url), 303)

    return app


def _page(gift: str, amount: int, currency: str, email: str, now: datetime) -> Any:
    price = {"currency": currency.lower(), "unit_amount": amount, "product": "donorportal_gift"}
    return {
        "mode": "payment",
        "submit_type": "donate",
        "customer_creation": "always",
        "locale": "en",
        "client_reference_id": gift,
        "customer_email": email,
        "success_url": "http://localhost/give/thanks?cs={CHECKOUT_SESSION_ID}",
        "cancel_url": f"http://localhost/give?again={gift}",
        "expires_at": int(now.timestamp()) + 7200,
        "adaptive_pricing": {"enabled": False},
        "allowed_payment_method_types": ["card"],
        "metadata": {"gift": gift},
        "line_items": [{"quantity": 1, "price_data": price}],
        "payment_intent_data": {"metadata": {"gift": gift}},
    }


def _app() -> Flask:
    app = Flask("floor")
    app.secret_key = "f" * 32
    app.jinja_loader = DictLoader({"form.html": _FORM, "history.html": _HISTORY})
    app.add_url_rule("/healthz", "healthz", lambda: "")
    return app


def _connection() -> Callable[[], psycopg.Connection[Any]]:
    """Return what opens this process's one connection when it is first asked for it."""

    @cache
    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(os.environ["FLOOR_DATABASE"], autocommit=True)  # noqa: TID251

    return connect
