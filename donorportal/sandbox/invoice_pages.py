"""The hosted page of an invoice: the donor confirms to the bank and pays by hand."""

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from donorportal.sandbox import invoices, subscriptions
from donorportal.sandbox.checkout_pages import money
from donorportal.sandbox.storage import Body, Store, new_id


class InvoicePages:
    """The pages under `/i`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        bp = Blueprint("invoice", __name__)
        bp.add_url_rule("/i/<invoice_id>", "page", self.show, methods=["GET"])
        bp.add_url_rule("/i/<invoice_id>", "pay", self.pay, methods=["POST"])
        return bp

    def show(self, invoice_id: str) -> Response:
        """Show what is asked for, or that there is nothing to pay any more."""
        with self.store.transaction() as tx:
            invoice = tx.peek(invoice_id, "invoice")
        return _page(invoice)

    def pay(self, invoice_id: str) -> AnyResponse:
        """Pay with the card on file as the donor answered the bank."""
        with self.store.transaction() as tx:
            invoice = tx.peek(invoice_id, "invoice")
            if invoice is None or invoice["status"] != "open":
                return _page(invoice)
            tx.request = {"id": new_id("req"), "idempotency_key": None}
            confirmed = request.form.get("answer") == "complete"
            invoice = subscriptions.collect_now(
                tx, invoice, scheduled=False, authenticated=confirmed
            )
            if invoice["status"] == "open":
                intent = tx.load(invoices.open_payment(tx, invoice)["payment"]["payment_intent"])
                error = intent["last_payment_error"] or {}
                return _page(invoice, error=error.get("message", "There is no card."), status=402)
        return redirect(f"/i/{invoice_id}", 303)


def _page(invoice: Body | None, *, error: str = "", status: int = 200) -> Response:
    amount = money(invoice["amount_due"], invoice["currency"]) if invoice else ""
    page = Response(
        render_template("invoice.html", invoice=invoice, amount=amount, error=error),
        404 if invoice is None else status,
        mimetype="text/html",
    )
    page.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
        " frame-ancestors 'none'; form-action 'self'"
    )
    page.headers["Cache-Control"] = "no-store"
    return page
