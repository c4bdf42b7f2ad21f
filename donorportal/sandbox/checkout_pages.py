"""The hosted Checkout page: plain forms, no script, and a sign that no money moves."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from donorportal.sandbox import completion
from donorportal.sandbox.cards import DEBITS, TEST_CARDS, card_method, debit_method
from donorportal.sandbox.declines import DECLINES
from donorportal.sandbox.delivery import Deliverer
from donorportal.sandbox.errors import ApiError
from donorportal.sandbox.storage import Body, Store, Transaction, new_id
from donorportal.sandbox.typecheck import minimal_part

_EXPONENTS = {"jpy": 0}
_SIGNS = {"usd": "$", "gbp": "£", "eur": "€", "jpy": "¥", "dop": "RD$"}
_DEBIT_NAMES = {
    "us_bank_account": "US bank account",
    "bacs_debit": "Bacs Direct Debit",
    "sepa_debit": "SEPA Direct Debit",
}


@dataclass(frozen=True)
class Outcome:
    """What one press of the button led to."""

    error: str = ""
    authenticate: bool = False
    events: tuple[str, ...] = ()


class CheckoutPages:
    """The pages under `/c/pay`."""

    def __init__(self, store: Store, deliverer: Deliverer) -> None:
        self.store = store
        self.deliverer = deliverer

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        bp = Blueprint("checkout", __name__)
        bp.add_url_rule("/c/pay/<session_id>", "page", self.show, methods=["GET"])
        bp.add_url_rule("/c/pay/<session_id>", "pay", self.pay, methods=["POST"])
        bp.add_url_rule("/c/pay/<session_id>/3ds", "ask", self.ask, methods=["GET"])
        bp.add_url_rule("/c/pay/<session_id>/3ds", "answer", self.answer, methods=["POST"])
        return bp

    def show(self, session_id: str) -> Response:
        """Show the page of an open session, or say why there is nothing to pay."""
        with self.store.transaction() as tx:
            session = tx.peek(session_id, "checkout.session")
            lines = tx.private(session_id).get("line_items", [])
        return _page(session, lines)

    def pay(self, session_id: str) -> AnyResponse:
        """Try to pay as the form says."""
        with self.store.transaction() as tx:
            session, gone = _open_session(tx, session_id)
            lines = tx.private(session_id).get("line_items", [])
            outcome = Outcome() if gone else _try(tx, session)
        if gone:
            return gone
        if outcome.error:
            return _page(session, lines, error=outcome.error, status=402)
        if outcome.authenticate:
            return redirect(f"/c/pay/{session_id}/3ds", 303)
        return self._done(session, outcome)

    def ask(self, session_id: str) -> AnyResponse:
        """Stand in for the bank's own page."""
        with self.store.transaction() as tx:
            session, gone = _open_session(tx, session_id)
        return gone or _render("three_d_secure.html", session, 200, amount=_amount(session))

    def answer(self, session_id: str) -> AnyResponse:
        """Go on as the donor answered the bank."""
        with self.store.transaction() as tx:
            session, gone = _open_session(tx, session_id)
            lines = tx.private(session_id).get("line_items", [])
            outcome = Outcome() if gone else _authenticate(tx, session)
        if gone:
            return gone
        if outcome.error:
            return _page(session, lines, error=outcome.error, status=402)
        return self._done(session, outcome)

    def _done(self, session: Body, outcome: Outcome) -> AnyResponse:
        if outcome.events:
            with self.store.transaction() as tx:
                held = tx.sql.execute(
                    "SELECT 1 FROM delivery WHERE state = 'held' LIMIT 1"
                ).fetchone()
            if held:
                self.deliverer.flush(list(outcome.events), held=True)
        url = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
        return redirect(url, 303)


def _open_session(tx: Transaction, session_id: str) -> tuple[Body, Response | None]:
    session = tx.peek(session_id, "checkout.session")
    if session is None or session["status"] != "open":
        return session or {}, _page(session, [])
    tx.request = {"id": new_id("req"), "idempotency_key": None}
    return session, None


def _try(tx: Transaction, session: Body) -> Outcome:
    try:
        method = _method_from_form(tx, session)
    except ApiError as error:
        return Outcome(error=str(error))
    blocked = completion.pay(tx, session, method)
    if blocked is None:
        return Outcome(events=tuple(tx.emitted))
    if blocked["status"] == "requires_action":
        tx.set_private(session["id"], method=method["id"])
        return Outcome(authenticate=True)
    return Outcome(error=blocked["last_payment_error"]["message"])


def _authenticate(tx: Transaction, session: Body) -> Outcome:
    private = tx.private(session["id"])
    method = tx.load(private["method"])
    if request.form.get("answer") == "complete":
        completion.pay(tx, session, method, authenticated=True)
        return Outcome(events=tuple(tx.emitted))
    completion.refuse_authentication(tx, session, method)
    return Outcome(error=DECLINES["authentication_failed"][1])


def _method_from_form(tx: Transaction, session: Body) -> Body:
    form = request.form
    email = session["customer_email"] or form.get("email", "").strip()
    known = (session["customer_details"] or {}).get("email")
    name = form.get("name", "").strip() or None
    address = minimal_part("payment_method", "billing_details", "address")
    address |= {"country": form.get("country", "US"), "postal_code": form.get("postal_code")}
    details = {"email": email or known, "name": name, "address": address}
    if not details["email"]:
        raise ApiError(400, "Enter an email address.")
    kind = form.get("method", "card")
    if kind not in session["payment_method_types"]:
        raise ApiError(400, "Choose one of the ways to pay.")
    if kind in DEBITS:
        return debit_method(tx, kind, details)
    month, _, year = form.get("expiry", "").replace(" ", "").partition("/")
    if not (month.isdecimal() and year.isdecimal() and 1 <= int(month) <= 12):  # noqa: PLR2004
        raise ApiError(400, "Your card's expiration date is incomplete, like 12 / 34.")
    full_year = int(year) + 2000 if len(year) == 2 else int(year)  # noqa: PLR2004
    return card_method(tx, form.get("number", ""), int(month), full_year, details)


def _page(
    session: Body | None, lines: list[Body], *, error: str = "", status: int = 200
) -> Response:
    if session is None or session["status"] != "open":
        return _render("checkout_closed.html", session, 404 if session is None else 410)
    recurring = lines[0]["price"]["recurring"] if lines else None
    context = {
        "amount": _amount(session),
        "interval": recurring["interval"] if recurring else "",
        "lines": [line["description"] for line in lines],
        "debits": [(k, v) for k, v in _DEBIT_NAMES.items() if k in session["payment_method_types"]],
        "email": (session["customer_details"] or {}).get("email") or "",
        "email_locked": bool(session["customer_email"] or session["customer"]),
        "error": error,
        "form": request.form,
        "test_cards": TEST_CARDS,
        "button": _button(session, lines),
    }
    return _render("checkout.html", session, status, **context)


def _amount(session: Body) -> str:
    due = session["amount_total"]
    return "" if due is None else money(due, session["currency"])


def _button(session: Body, lines: list[Body]) -> str:
    if session["mode"] == "setup":
        return "Save card"
    if session["mode"] == "subscription":
        return "Subscribe"
    verb = "Donate" if session["submit_type"] == "donate" else "Pay"
    return f"{verb} {money(session['amount_total'], session['currency'])}" if lines else verb


def money(amount: int, currency: str) -> str:
    """Show minor units as people write them."""
    exponent = _EXPONENTS.get(currency, 2)
    sign = _SIGNS.get(currency, currency.upper() + " ")
    whole, rest = divmod(abs(amount), 10**exponent)
    tail = f".{rest:0{exponent}d}" if exponent else ""
    return f"{'-' if amount < 0 else ''}{sign}{whole:,}{tail}"


def _render(template: str, session: Body | None, status: int, **context: Any) -> Response:
    page = Response(
        render_template(template, session=session, **context), status, mimetype="text/html"
    )
    targets = [_origin((session or {}).get(name)) for name in ("success_url", "cancel_url")]
    allowed = " ".join(["'self'", *filter(None, targets)])
    page.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
        f" frame-ancestors 'none'; form-action {allowed}"
    )
    page.headers["Cache-Control"] = "no-store"
    return page


def _origin(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
