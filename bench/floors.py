"""The least that Flask can do for the same result: what each of our pages is compared with.

No models, no forms, no layers: one function each, with a session, Jinja and raw SQL.
"""

import json
import os
from collections.abc import Callable
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


def checkout() -> Flask:
    """Store a gift with one INSERT, open a page to pay on, and send the donor there."""
    app, connection = _app(), _connection()
    client = stripe.StripeClient(
        "sk_test_" + "1" * 24,
        base_addresses={"api": os.environ["STRIPE_API_BASE"]},  # noqa: TID251 - a server's entry
    )

    @app.post("/give")
    def give() -> Response:
        gift, amount = str(uuid4()), int(request.form["amount"]) * 100
        with connection().transaction():
            connection().execute("INSERT INTO floor_gift VALUES (%s, %s)", (gift, amount))
        line: Any = {
            "quantity": 1,
            "price_data": {
                "currency": "usd",
                "unit_amount": amount,
                "product_data": {"name": "Gift"},
            },
        }
        page = client.v1.checkout.sessions.create(
            {"mode": "payment", "line_items": [line], "success_url": "http://localhost/thanks"},
            {"idempotency_key": gift},
        )
        return redirect(str(page.url), 303)

    return app


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
