"""Stripe, translated: only this module calls its SDK.

Objects are read with the pinned API version and turned into the frozen words of ``gateway``.
Errors are told apart by class and code, never by text.
"""

import json
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, cast

import stripe

from donorportal.payments.gateway import (
    API_VERSION,
    Checkout,
    CheckoutRequest,
    Endpoint,
    GatewayRejected,
    Observation,
    OpenPage,
    Payment,
    ReceivedEvent,
    SetUp,
    SignatureRefused,
    Subscription,
)
from donorportal.payments.pooled_client import PooledClient
from donorportal.payments.stripe_calls import translated
from donorportal.payments.stripe_listing import StripeListing
from donorportal.payments.stripe_monthly import StripeMonthly
from donorportal.payments.stripe_objects import (
    card_from,
    card_set_up_from,
    checkout_from,
    declined_from,
    id_of,
    invoice_from,
    payment_from,
    subscription_from,
)
from donorportal.payments.stripe_params import PRODUCT_MONTHLY, PRODUCT_ONCE, checkout_params
from donorportal.payments.stripe_payouts import PAYOUT_EVENTS, StripePayouts
from donorportal.payments.stripe_returns import REFUND_EVENTS, StripeReturns

# How long ago, or ahead, an event may have been signed. Stripe's SDK only looks back.
_TOLERANCE_SECONDS = 300
_CHARGE_EXPANDED = [
    "latest_charge.balance_transaction",
    "latest_charge.failure_balance_transaction",
]
# Subscribing to these is enough: every one names an object from which the rest is read.
EVENT_TYPES: tuple[Any, ...] = (
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "charge.failed",
    "charge.updated",
    "charge.refunded",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.updated",
    "invoice.voided",
    "setup_intent.succeeded",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "payment_method.automatically_updated",
    "payment_method.updated",
    *REFUND_EVENTS,
    *PAYOUT_EVENTS,
)


class StripeGateway:
    """The payment service as Stripe offers it; one instance per process, safe for threads."""

    def __init__(
        self,
        secret_key: str,
        *,
        api_base: str,
        webhook_secrets: tuple[str, ...] = (),
        http_client: stripe.HTTPClient | None = None,
    ) -> None:
        """Make a client of its own: nothing is set on the SDK's module."""
        self._webhook_secrets = webhook_secrets
        self._client = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base},
            max_network_retries=2,
            http_client=http_client or PooledClient(),
        )
        self.monthly = StripeMonthly(self._client)
        self.returns = StripeReturns(self._client)
        self.payouts = StripePayouts(self._client)
        self.listing = StripeListing(self._client)

    def open_checkout(self, request: CheckoutRequest, *, key: str) -> OpenPage:
        """Open a hosted page; see ``Gateway.open_checkout``.

        A donor is waiting, and building the SDK's object of some seventy fields to read two of
        them would take longer than all the rest of the answer.
        """
        with translated():
            answer = self._client.raw_request(
                "post", "/v1/checkout/sessions", idempotency_key=key, **checkout_params(request)
            )
        return OpenPage(remote_id=answer.data["id"], url=answer.data["url"])

    def expire_checkout(self, remote_id: str) -> None:
        """Close a hosted page; see ``Gateway.expire_checkout``."""
        try:
            with translated():
                self._client.v1.checkout.sessions.expire(remote_id)
        except GatewayRejected:
            # Stripe refuses to expire what is no longer open, which is what we wanted.
            return

    def observe(self, object_id: str) -> Observation | None:
        """Read an object and what hangs together with it; see ``Gateway.observe``."""
        read = {
            "cs": self._observe_checkout,
            "pi": self._observe_payment,
            "ch": self._observe_charge,
            "py": self._observe_charge,
            "in": self._observe_invoice,
            "sub": self._observe_subscription,
            "seti": self._observe_set_up,
            "pm": self._observe_card,
            "re": self._observe_refund,
            "pyr": self._observe_refund,
            "dp": self._observe_dispute,
            "du": self._observe_dispute,
            "issfr": self._observe_warning,
            "po": self._observe_payout,
        }.get(object_id.partition("_")[0])
        if read is None:
            return None
        with translated():
            try:
                return read(object_id)
            except stripe.InvalidRequestError as error:
                if error.http_status == 404:  # noqa: PLR2004 - HTTP's number for "not found"
                    return None
                raise

    def verify_event(self, payload: bytes, signature: str) -> ReceivedEvent:
        """Check the signature and read the envelope; see ``Gateway.verify_event``.

        The SDK's own ``construct_event`` also builds objects that nobody would look at, which
        takes longer than all the rest of the request.
        """
        if not any(_signed(payload, signature, secret) for secret in self._webhook_secrets):
            raise SignatureRefused("no signature with one of our secrets")
        _refuse_future(signature)
        try:
            event = json.loads(payload)
            thing = event["data"]["object"]
            return ReceivedEvent(
                event_id=str(event["id"])[:255],
                type=str(event["type"])[:80],
                object_id=thing.get("id"),
                api_version=event.get("api_version"),
                livemode=bool(event["livemode"]),
                account=event.get("account"),
                payload=payload.decode(),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SignatureRefused("signed, but not an event") from error

    def set_up(self, *, public_url: str, organisation: str) -> str:
        """Create the products and a webhook endpoint; return the endpoint's signing secret.

        Raises:
            GatewayUnavailable: No definite answer.
            GatewayRejected: Stripe refused, for example for a wrong key.

        """
        with translated():
            self._ensure_product(PRODUCT_ONCE, f"Gift to {organisation}")
            self._ensure_product(PRODUCT_MONTHLY, f"Monthly gift to {organisation}")
            endpoint = self._client.v1.webhook_endpoints.create(
                {
                    "url": f"{public_url}/webhooks/stripe",
                    "enabled_events": list(EVENT_TYPES),
                    "api_version": cast("Any", API_VERSION),
                }
            )
        return str(endpoint.secret)

    def read_set_up(self) -> SetUp:
        """Say how the account is set up for us; nothing is changed.

        Raises:
            GatewayUnavailable: No definite answer.
            GatewayRejected: Stripe refused, for example for a wrong key.

        """
        with translated():
            listed = self._client.v1.webhook_endpoints.list({"limit": 100})
            ahead_seconds = _ahead_seconds(listed)
            products = (PRODUCT_ONCE, PRODUCT_MONTHLY)
            return SetUp(
                endpoints=tuple(_endpoint(endpoint) for endpoint in listed.data),
                missing_products=tuple(one for one in products if not self._has_product(one)),
                ahead_seconds=ahead_seconds,
            )

    def _has_product(self, product_id: str) -> bool:
        try:
            return self._client.v1.products.retrieve(product_id).active
        except stripe.InvalidRequestError as error:
            if error.http_status == 404:  # noqa: PLR2004 - HTTP's number for "not found"
                return False
            raise

    def _ensure_product(self, product_id: str, name: str) -> None:
        try:
            self._client.v1.products.create({"id": product_id, "name": name})
        except stripe.InvalidRequestError as error:
            if error.code != "resource_already_exists":
                raise

    def _observe_checkout(self, remote_id: str) -> Observation | None:
        session = self._client.v1.checkout.sessions.retrieve(remote_id)
        if session.mode == "setup":
            set_up_id = id_of(session.setup_intent)
            return self._observe_set_up(set_up_id) if set_up_id else None
        checkout = checkout_from(session)
        if checkout.invoice_id:
            return _with(self._observe_invoice(checkout.invoice_id), checkout=checkout)
        if checkout.payment_id:
            payment = self._payment(checkout.payment_id)
            return Observation(checkout=checkout, payment=payment)
        return Observation(checkout=checkout)

    def _observe_charge(self, remote_id: str) -> Observation | None:
        charge = self._client.v1.charges.retrieve(remote_id)
        payment_id = id_of(charge.payment_intent)
        if payment_id is None:
            return None
        return replace(self._observe_payment(payment_id), declined=declined_from(charge))

    def _observe_refund(self, remote_id: str) -> Observation | None:
        payment_id = self.returns.payment_of_refund(remote_id)
        # A charge forgets the refunds that failed, so they are looked for whatever it says.
        return self._observe_payment(payment_id, refunded=True) if payment_id else None

    def _observe_dispute(self, remote_id: str) -> Observation | None:
        payment_id = self.returns.payment_of_dispute(remote_id)
        return self._observe_payment(payment_id) if payment_id else None

    def _observe_warning(self, remote_id: str) -> Observation | None:
        warning, payment_id = self.returns.warning(remote_id)
        if payment_id is None:
            return None
        return replace(self._observe_payment(payment_id), warning=warning)

    def _observe_payment(self, remote_id: str, *, refunded: bool = False) -> Observation:
        payment = self._payment(remote_id, refunded=refunded)
        if payment.reference:
            return Observation(payment=payment)
        found = self._client.v1.invoice_payments.list(
            {"payment": {"type": "payment_intent", "payment_intent": remote_id}}
        )
        for line in found.data:
            invoice_id = id_of(line.invoice)
            if invoice_id:
                return self._observe_invoice(invoice_id, payment=payment)
        return Observation(payment=payment)

    def _observe_invoice(self, remote_id: str, *, payment: Payment | None = None) -> Observation:
        paid_by = payment.remote_id if payment else self._payment_of(remote_id)
        invoice = invoice_from(self._client.v1.invoices.retrieve(remote_id), paid_by)
        if payment is None and paid_by:
            payment = self._payment(paid_by)
        subscription = (
            self._subscription(invoice.subscription_id) if invoice.subscription_id else None
        )
        return Observation(invoice=invoice, payment=payment, subscription=subscription)

    def _observe_subscription(self, remote_id: str) -> Observation:
        return Observation(subscription=self._subscription(remote_id))

    def _observe_set_up(self, remote_id: str) -> Observation:
        intent = self._client.v1.setup_intents.retrieve(remote_id)
        return Observation(set_up=card_set_up_from(intent))

    def _observe_card(self, remote_id: str) -> Observation | None:
        card = card_from(self._client.v1.payment_methods.retrieve(remote_id))
        return Observation(saved_card=card) if card else None

    def _observe_payout(self, remote_id: str) -> Observation:
        return Observation(payout=self.payouts.payout(remote_id))

    def _payment_of(self, invoice_id: str) -> str | None:
        """Return the payment that paid an invoice, or else the last one that was tried."""
        lines = self._client.v1.invoice_payments.list({"invoice": invoice_id}).data
        lines = [line for line in lines if line.payment.payment_intent]
        paid = [line for line in lines if line.status == "paid"]
        chosen = (paid or lines)[:1]
        return id_of(chosen[0].payment.payment_intent) if chosen else None

    def _payment(self, remote_id: str, *, refunded: bool = False) -> Payment:
        intent = self._client.v1.payment_intents.retrieve(remote_id, {"expand": _CHARGE_EXPANDED})
        charge = intent.latest_charge
        if not isinstance(charge, stripe.Charge):
            return payment_from(intent, (), ())
        refunded = refunded or charge.amount_refunded > 0
        return payment_from(
            intent,
            self.returns.refunds_of(remote_id) if refunded else (),
            self.returns.disputes_of(charge),
        )

    def _subscription(self, remote_id: str) -> Subscription:
        return subscription_from(
            self._client.v1.subscriptions.retrieve(
                remote_id, {"expand": ["default_payment_method"]}
            )
        )


def _endpoint(endpoint: stripe.WebhookEndpoint) -> Endpoint:
    sent = set(endpoint.enabled_events)
    return Endpoint(
        url=endpoint.url,
        enabled=endpoint.status == "enabled",
        api_version=endpoint.api_version,
        missing=frozenset() if "*" in sent else frozenset(EVENT_TYPES) - sent,
    )


def _ahead_seconds(answer: Any) -> float:
    said = answer.last_response.headers.get("Date")
    return time.time() - parsedate_to_datetime(said).timestamp() if said else 0.0


def _with(observed: Observation, *, checkout: Checkout) -> Observation:
    return replace(observed, checkout=checkout)


def _signed(payload: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(payload, signature, secret, _TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _refuse_future(signature: str) -> None:
    signed_at = next(part[2:] for part in signature.split(",") if part.startswith("t="))
    if int(signed_at) > time.time() + _TOLERANCE_SECONDS:
        raise SignatureRefused("signed in the future")
