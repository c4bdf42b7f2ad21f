"""Monthly gifts at Stripe: subscriptions, their invoices, and the cards that pay them."""

from datetime import datetime, timedelta
from typing import Any

import stripe

from donorportal import clock
from donorportal.money import Money
from donorportal.payments.gateway import GatewayRejected
from donorportal.payments.monthly import CardPageRequest, OpenCharge, Upcoming
from donorportal.payments.stripe_calls import translated, unless_gone
from donorportal.payments.stripe_objects import GAVE_UP
from donorportal.payments.stripe_params import EVERY_MONTH, PRODUCT_MONTHLY, price_of

_MANY = 100
_UNPAID = {"draft", "open"}
# Why donors stop, in the words that Stripe's reports know.
_FEEDBACK = {
    "money": "too_expensive",
    "elsewhere": "switched_service",
    "disagree": "low_quality",
    "other": "other",
}


class StripeMonthly:
    """Stripe's side of ``MonthlyGateway``."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def upcoming(
        self, subscription_id: str, *, amount: Money | None = None, next_at: datetime | None = None
    ) -> Upcoming | None:
        """Preview the next invoice; see ``MonthlyGateway.upcoming``."""
        with translated():
            subscription = self._client.v1.subscriptions.retrieve(subscription_id)
            try:
                preview = self._client.v1.invoices.create_preview(
                    preview_params(subscription_id, _item_of(subscription), amount, next_at)
                )
            except stripe.InvalidRequestError as error:
                if error.code == "invoice_upcoming_none":
                    return None
                raise
            recent = self._client.v1.invoices.list({"subscription": subscription_id, "limit": 10})
        return _upcoming(subscription, preview, recent.data, next_at)

    def change_amount(self, subscription_id: str, amount: Money, *, key: str) -> None:
        """Give the item another price; see ``MonthlyGateway.change_amount``."""
        with translated():
            subscription = self._client.v1.subscriptions.retrieve(subscription_id)
            self._update(subscription_id, amount_params(_item_of(subscription), amount), key)

    def move_day(self, subscription_id: str, next_at: datetime, *, key: str) -> None:
        """Let a trial end on the day; see ``MonthlyGateway.move_day``."""
        with translated():
            self._update(subscription_id, day_params(next_at), key)

    def pause(self, subscription_id: str, resumes_at: datetime, *, key: str) -> None:
        """Void what comes due in between; see ``MonthlyGateway.pause``."""
        with translated():
            self._update(subscription_id, pause_params(resumes_at), key)

    def resume(self, subscription_id: str, *, key: str) -> None:
        """Collect again; see ``MonthlyGateway.resume``."""
        with translated():
            self._update(subscription_id, {"pause_collection": ""}, key)

    def end(self, subscription_id: str, *, reason: str | None, comment: str) -> None:
        """Cancel now and void what is open; see ``MonthlyGateway.end``."""
        with translated(), unless_gone():
            self._client.v1.subscriptions.cancel(subscription_id, end_params(reason, comment))
        self.void_open(subscription_id)

    def void_open(self, subscription_id: str) -> None:
        """Void the open invoices; see ``MonthlyGateway.void_open``."""
        for charge_id in self.open_charges(subscription_id):
            with translated(), unless_gone():
                self._client.v1.invoices.void_invoice(charge_id)

    def open_card_page(self, request: CardPageRequest, *, key: str) -> str:
        """Open Checkout in setup mode; see ``MonthlyGateway.open_card_page``."""
        with translated():
            session = self._client.v1.checkout.sessions.create(
                card_page_params(request), {"idempotency_key": key}
            )
        if session.url is None:
            raise GatewayRejected(f"{session.id} has no page any more")
        return session.url

    def use_card(self, subscription_id: str, payment_method_id: str, *, key: str) -> None:
        """Set the subscription's own card; see ``MonthlyGateway.use_card``.

        Retries look at the subscription before the customer, so that setting the customer's card
        alone would go on charging the old one.
        """
        with translated():
            self._update(subscription_id, {"default_payment_method": payment_method_id}, key)

    def open_charges(self, subscription_id: str) -> tuple[str, ...]:
        """List the open invoices; see ``MonthlyGateway.open_charges``."""
        with translated():
            listed = self._client.v1.invoices.list(
                {"subscription": subscription_id, "status": "open", "limit": _MANY}
            )
        return tuple(str(invoice.id) for invoice in listed.data)

    def pay_charge(self, charge_id: str, payment_method_id: str, *, key: str) -> None:
        """Pay an invoice; see ``MonthlyGateway.pay_charge``."""
        params: Any = {"payment_method": payment_method_id}
        with translated(), unless_gone():
            self._client.v1.invoices.pay(charge_id, params, {"idempotency_key": key})

    def pay(self, invoice_id: str, *, key: str) -> None:
        """Pay one invoice; see ``MonthlyGateway.pay``."""
        with translated():
            self._client.v1.invoices.pay(invoice_id, {}, {"idempotency_key": key})

    def give_up(self, subscription_id: str) -> None:
        """Cancel and leave a word why; see ``MonthlyGateway.give_up``."""
        with translated(), unless_gone():
            self._client.v1.subscriptions.cancel(
                subscription_id, {"cancellation_details": {"comment": GAVE_UP}}
            )

    def charges_of(self, subscription_id: str) -> tuple[str, ...]:
        """List the invoices; see ``MonthlyGateway.charges_of``."""
        with translated():
            drawn_up = self._client.v1.invoices.list(
                {"subscription": subscription_id, "limit": _MANY}
            )
            found = [str(invoice.id) for invoice in drawn_up.auto_paging_iter()]
        return tuple(reversed(found))

    def _update(self, subscription_id: str, params: Any, key: str) -> None:
        self._client.v1.subscriptions.update(subscription_id, params, {"idempotency_key": key})


def preview_params(
    subscription_id: str, item_id: str, amount: Money | None, next_at: datetime | None
) -> Any:
    """Return what Stripe wants to know to preview an invoice."""
    details: dict[str, Any] = {}
    if amount is not None:
        details |= amount_params(item_id, amount)
    if next_at is not None:
        details |= day_params(next_at)
    params: dict[str, Any] = {"subscription": subscription_id}
    return params | ({"subscription_details": details} if details else {})


def amount_params(item_id: str, amount: Money) -> Any:
    """Return another price for the one item, from the next invoice on."""
    price = price_of(amount, PRODUCT_MONTHLY) | EVERY_MONTH
    item = {"id": item_id, "price_data": price, "quantity": 1}
    return {"items": [item], "proration_behavior": "none"}


def day_params(next_at: datetime) -> Any:
    """Return the next billing day; only the end of a trial can move it without a charge."""
    return {"trial_end": int(next_at.timestamp()), "proration_behavior": "none"}


def pause_params(resumes_at: datetime) -> Any:
    """Return a pause that ends by itself."""
    pause = {"behavior": "void", "resumes_at": int(resumes_at.timestamp())}
    return {"pause_collection": pause}


def end_params(reason: str | None, comment: str) -> Any:
    """Return why it ends, if the donor said so."""
    details = {"comment": comment} if comment else {}
    if reason is not None:
        details["feedback"] = _FEEDBACK.get(reason, "other")
    return {"cancellation_details": details} if details else {}


def card_page_params(request: CardPageRequest) -> Any:
    """Return what Stripe wants to know to open a page for another card."""
    about = {
        "recurring_gift": request.reference,
        "subscription_id": request.subscription_id,
        "actor": request.actor,
    }
    return {
        "mode": "setup",
        "customer": request.customer_id,
        "currency": request.currency.lower(),
        "locale": request.locale,
        "client_reference_id": request.reference,
        "metadata": about,
        "setup_intent_data": {"metadata": about},
        "success_url": f"{request.return_url}?cs={{CHECKOUT_SESSION_ID}}",
        "cancel_url": request.cancel_url,
        "allowed_payment_method_types": ["card"],
    }


def _item_of(subscription: stripe.Subscription) -> str:
    return str(subscription["items"].data[0].id)


def _upcoming(
    subscription: stripe.Subscription,
    preview: stripe.Invoice,
    recent: list[stripe.Invoice],
    next_at: datetime | None,
) -> Upcoming:
    line = preview.lines.data[-1]
    starts_at = clock.from_timestamp(line.period.start)
    tried_at = preview.next_payment_attempt
    pause = subscription.pause_collection
    return Upcoming(
        amount=Money(preview.total, preview.currency.upper()),
        starts_at=starts_at,
        following_at=clock.from_timestamp(line.period.end),
        anchor_at=next_at or clock.from_timestamp(subscription.billing_cycle_anchor),
        delay=clock.from_timestamp(tried_at) - starts_at if tried_at else timedelta(0),
        is_paused=pause is not None,
        resumes_at=clock.from_timestamp(pause.resumes_at) if pause and pause.resumes_at else None,
        unpaid=tuple(_open_charge(invoice) for invoice in recent if invoice.status in _UNPAID),
    )


def _open_charge(invoice: stripe.Invoice) -> OpenCharge:
    tried_at = invoice.next_payment_attempt or invoice.automatically_finalizes_at
    return OpenCharge(
        remote_id=str(invoice.id),
        amount=Money(invoice.amount_due, invoice.currency.upper()),
        next_try_at=clock.from_timestamp(tried_at) if tried_at else None,
        is_fresh=invoice.status == "draft",
    )
