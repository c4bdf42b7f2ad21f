"""Lists of Stripe's objects, translated; one page at a time, so that memory stays flat."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import stripe

from donorportal import clock
from donorportal.money import CURRENCIES, Money
from donorportal.payments.listing import Listed, ListedPage, Thing, Undelivered
from donorportal.payments.payouts import BalanceLine
from donorportal.payments.returns import DisputeState, RefundState
from donorportal.payments.stripe_calls import translated
from donorportal.payments.stripe_objects import id_of, meta_of, subscription_from
from donorportal.payments.stripe_payouts import line_from
from donorportal.payments.stripe_returns import DISPUTE_STATES, REFUND_STATES

_AT_ONCE = 100
_TYPES_AT_ONCE = 20
_NOT_FOUND = 404


class StripeListing:
    """The part of the gateway that lists everything."""

    def __init__(self, client: stripe.StripeClient) -> None:
        v1 = client.v1
        self._client = client
        self._services: dict[Thing, tuple[Any, Callable[[Any], Listed]]] = {
            Thing.CHECKOUT: (v1.checkout.sessions, _checkout),
            Thing.CHARGE: (v1.charges, _charge),
            Thing.INVOICE: (v1.invoices, _invoice),
            Thing.SUBSCRIPTION: (v1.subscriptions, _subscription),
            Thing.REFUND: (v1.refunds, _refund),
            Thing.DISPUTE: (v1.disputes, _dispute),
            Thing.PAYOUT: (v1.payouts, _payout),
            Thing.MOVEMENT: (v1.balance_transactions, _movement),
        }

    def page(
        self,
        thing: Thing,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
    ) -> ListedPage:
        """List a page of objects; see ``ListingGateway.page``."""
        service, translate = self._services[thing]
        with translated():
            page = service.list(list_params(thing, since=since, until=until, after=after))
            return ListedPage(
                tuple(translate(one) for one in page.data),
                page.data[-1].id if page.has_more else None,
            )

    def one(self, thing: Thing, remote_id: str) -> Listed | None:
        """Read one object; see ``ListingGateway.one``."""
        service, translate = self._services[thing]
        with translated():
            try:
                return translate(service.retrieve(remote_id))
            except stripe.InvalidRequestError as error:
                if error.http_status == _NOT_FOUND:
                    return None
                raise

    def balance(self) -> dict[str, Money]:
        """Read what Stripe holds for us; see ``ListingGateway.balance``."""
        with translated():
            balance = self._client.v1.balance.retrieve()
            held: dict[str, Money] = {}
            parts: list[Any] = [*balance.available, *balance.pending]
            for part in parts:
                code = part.currency.upper()
                held[code] = held.get(code, Money(0, code)) + Money(part.amount, code)
            return held

    def undelivered(self, types: tuple[str, ...], *, since: datetime) -> Iterator[Undelivered]:
        """List events that nobody took; see ``ListingGateway.undelivered``."""
        for start in range(0, len(types), _TYPES_AT_ONCE):
            after: str | None = None
            while True:
                some = types[start : start + _TYPES_AT_ONCE]
                with translated():
                    page = self._client.v1.events.list(events_params(some, since, after))
                yield from map(_event, page.data)
                if not page.has_more:
                    break
                after = page.data[-1].id


def list_params(
    thing: Thing,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: str | None = None,
) -> Any:
    """Return what Stripe wants to know to list a page of objects, newest first."""
    params: dict[str, Any] = {"limit": _AT_ONCE}
    created = {
        name: int(moment.timestamp())
        for name, moment in (("gte", since), ("lte", until))
        if moment is not None
    }
    if created:
        params["created"] = created
    if after:
        params["starting_after"] = after
    if thing is Thing.SUBSCRIPTION:
        # Those that ended are asked about one by one, where our books say that they go on.
        params["status"] = "all"
    return params


def events_params(types: tuple[str, ...], since: datetime, after: str | None) -> Any:
    """Return what Stripe wants to know to list the events that no endpoint took."""
    params: dict[str, Any] = {
        "limit": _AT_ONCE,
        "types": list(types),
        "delivery_success": False,
        "created": {"gte": int(since.timestamp())},
    }
    return params | {"starting_after": after} if after else params


def _checkout(session: Any) -> Listed:
    return Listed(
        remote_id=session.id,
        created_at=clock.from_timestamp(session.created),
        state=session.status or "",
        reference=session.client_reference_id,
        payment_id=id_of(session.payment_intent),
        parent_id=id_of(session.subscription),
    )


def _charge(charge: Any) -> Listed:
    return Listed(
        remote_id=charge.id,
        created_at=clock.from_timestamp(charge.created),
        state=charge.status,
        amount=_money(charge.amount, charge.currency),
        reference=meta_of(charge.metadata, "gift"),
        payment_id=id_of(charge.payment_intent),
        transaction_id=id_of(charge.balance_transaction),
        has_come_back=charge.failure_balance_transaction is not None,
    )


def _invoice(invoice: Any) -> Listed:
    details = invoice.parent.subscription_details if invoice.parent else None
    is_paid = invoice.status == "paid" and invoice.amount_paid > 0
    return Listed(
        remote_id=str(invoice.id),
        created_at=clock.from_timestamp(invoice.created),
        state="paid" if is_paid else "unpaid",
        amount=_money(invoice.amount_paid, invoice.currency),
        reference=meta_of(details.metadata, "recurring_gift") if details else None,
        parent_id=id_of(details.subscription) if details else None,
    )


def _subscription(subscription: Any) -> Listed:
    found = subscription_from(subscription)
    return Listed(
        remote_id=found.remote_id,
        created_at=clock.from_timestamp(subscription.created),
        state=found.remote_state,
        amount=found.amount,
        reference=found.reference,
        next_at=found.next_at,
        is_paused=found.paused,
        gave_up=found.gave_up,
    )


def _refund(refund: Any) -> Listed:
    return Listed(
        remote_id=refund.id,
        created_at=clock.from_timestamp(refund.created),
        state=REFUND_STATES.get(refund.status or "", RefundState.UNKNOWN),
        amount=_money(refund.amount, refund.currency),
        payment_id=id_of(refund.payment_intent),
        parent_id=id_of(refund.charge),
    )


def _dispute(dispute: Any) -> Listed:
    return Listed(
        remote_id=dispute.id,
        created_at=clock.from_timestamp(dispute.created),
        state=DISPUTE_STATES.get(dispute.status, DisputeState.UNKNOWN),
        amount=_money(dispute.amount, dispute.currency),
        payment_id=id_of(dispute.payment_intent),
        parent_id=id_of(dispute.charge),
    )


def _payout(payout: Any) -> Listed:
    return Listed(
        remote_id=payout.id,
        created_at=clock.from_timestamp(payout.created),
        state=payout.status,
        amount=_money(payout.amount, payout.currency),
    )


def _movement(transaction: Any) -> Listed:
    line: BalanceLine = line_from(transaction)
    return Listed(
        remote_id=transaction.id,
        created_at=line.movement.moved_at,
        state=transaction.status,
        amount=line.net,
        parent_id=line.source_id,
        line=line,
    )


def _event(event: stripe.Event) -> Undelivered:
    body: dict[str, Any] = event.to_dict(for_json=True)
    return Undelivered(
        event_id=event.id[:255],
        type=event.type[:80],
        object_id=body["data"]["object"].get("id"),
        api_version=event.api_version,
        livemode=event.livemode,
        account=body.get("account"),
        payload=json.dumps(body),
    )


def _money(minor: int, currency: str) -> Money | None:
    """Return an amount; None in a currency we do not know, which no gift of ours can have."""
    code = currency.upper()
    return Money(minor, code) if code in CURRENCIES else None
