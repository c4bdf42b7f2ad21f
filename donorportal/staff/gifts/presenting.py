"""Gifts as staff see them: in words, with every amount to the cent."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from babel.dates import format_date

from donorportal.config import Settings
from donorportal.giving.models import Gift, GiftEvent, GiftStatus
from donorportal.giving.returns.models import DisputeRecord, GiftTask, Refund, RefundStatus
from donorportal.money import Money
from donorportal.payments.returns import DisputeKind, DisputeState
from donorportal.staff.gifts.finding import Known, Waiting
from donorportal.staff.tables import when

_STATES = {
    GiftStatus.PLEDGED: ("On its way", "quiet"),
    GiftStatus.RECEIVED: ("Received", "success"),
    GiftStatus.FAILED: ("Failed", "danger"),
}
_REFUNDS = {
    RefundStatus.ASKED: ("Asked, Stripe has not answered yet", "quiet"),
    RefundStatus.PENDING: ("On its way to the donor", "quiet"),
    RefundStatus.SUCCEEDED: ("Refunded", "success"),
    RefundStatus.FAILED: ("Came back to us", "danger"),
    RefundStatus.CANCELED: ("Not made", "danger"),
}
_DISPUTES = {
    DisputeState.OPEN: ("Open", "danger"),
    DisputeState.WON: ("Won", "success"),
    DisputeState.LOST: ("Lost", "danger"),
    DisputeState.CLOSED: ("Closed", "quiet"),
    DisputeState.UNKNOWN: ("Not understood", "danger"),
}
_KINDS = {
    DisputeKind.INQUIRY: "Question of the bank",
    DisputeKind.DISPUTE: "Dispute",
    DisputeKind.BANK_RETURN: "Taken back by the bank",
}
_TOLD = ("charge", "refund", "dispute", "warning", "failure", "reason", "looked_at", "note")
"""What of an event's detail its line in the history repeats."""
_STRIPE = "https://api.stripe.com"


def rows(gifts: Iterable[Gift], settings: Settings) -> list[dict[str, Any]]:
    """Return gifts as rows of a table."""
    return [_row(gift, settings) for gift in gifts]


def waiting_rows(found: Iterable[Waiting], settings: Settings) -> list[dict[str, Any]]:
    """Return what waits for a person as rows of a table."""
    return [
        _row(one.gift, settings)
        | {"text": one.text, "due": when(one.due_at, settings.organisation)}
        for one in found
    ]


def page(found: Known, settings: Settings) -> dict[str, Any]:
    """Return what the page of one gift shows."""
    gift, organisation = found.gift, settings.organisation
    locale = organisation.locale
    kept = gift.amount - Money(gift.refunded_minor + gift.lost_minor, gift.currency)
    return {
        "gift": _row(gift, settings),
        "facts": [
            ("Donor", f"{gift.name} <{gift.email}>" if gift.name else gift.email),
            ("Given on", _day(gift.given_on, locale)),
            ("For", found.designation),
            ("Kind", "Monthly" if gift.recurring_gift_id else "Once"),
            ("Receipt", found.receipt),
            ("Paid with", f"{gift.card_brand} {gift.card_last4}" if gift.card_last4 else None),
            ("Bank's answer", gift.failure),
            ("Payment", gift.payment_remote_id),
            ("Charge", gift.charge_remote_id),
            ("Invoice", gift.invoice_remote_id),
        ],
        "sums": [
            ("Given", gift.amount.exact(locale)),
            ("Refunded", _unless_zero(gift.refunded_minor, gift.currency, locale)),
            ("Lost to the bank", _unless_zero(gift.lost_minor, gift.currency, locale)),
            ("What is left", kept.exact(locale) if kept != gift.amount else None),
        ],
        "refunds": [_refund(refund, settings) for refund in found.refunds],
        "disputes": [_dispute(dispute, settings) for dispute in found.disputes],
        "tasks": [_task(task, settings) for task in found.tasks],
        "events": [_event(event, gift.currency, settings) for event in found.events],
        "entries": [
            {
                "source": entry.source,
                "on": _day(entry.effective_on, locale),
                "account": line.account,
                "amount": Money(line.amount_minor, line.currency).exact(locale),
            }
            for entry, lines in found.entries
            for line in lines
        ],
        "stripe_url": _stripe_url("payments", gift.payment_remote_id, settings),
    }


def _row(gift: Gift, settings: Settings) -> dict[str, Any]:
    locale = settings.organisation.locale
    state, tone = _STATES.get(GiftStatus(gift.status), (gift.status.capitalize(), "quiet"))
    if gift.disputed_minor:
        state, tone = "Disputed", "danger"
    elif gift.lost_minor:
        state, tone = "Lost to the bank", "danger"
    elif gift.refunded_minor:
        whole = gift.refunded_minor == gift.amount_minor
        state, tone = "Refunded" if whole else "Refunded in part", "quiet"
    return {
        "id": gift.id,
        "on": _day(gift.given_on, locale) or when(gift.created_at, settings.organisation),
        "who": gift.name or gift.email,
        "amount": gift.amount.exact(locale),
        "kind": "Monthly" if gift.recurring_gift_id else "Once",
        "state": state,
        "tone": tone,
        "look": gift.needs_look,
    }


def _refund(refund: Refund, settings: Settings) -> dict[str, Any]:
    state, tone = _REFUNDS[RefundStatus(refund.status)]
    locale = settings.organisation.locale
    return {
        "on": _day(refund.refunded_on, locale),
        "amount": refund.amount.exact(locale),
        "who": refund.actor,
        "reason": refund.reason,
        "remote_id": refund.remote_id,
        "failure": refund.failure,
        "state": state,
        "tone": tone,
    }


def _dispute(dispute: DisputeRecord, settings: Settings) -> dict[str, Any]:
    state, tone = _DISPUTES[DisputeState(dispute.status)]
    locale = settings.organisation.locale
    open_until = dispute.respond_by if dispute.status == DisputeState.OPEN else None
    return {
        "what": _KINDS[DisputeKind(dispute.kind)],
        "on": _day(dispute.opened_on, locale),
        "amount": dispute.amount.exact(locale),
        "reason": dispute.reason.replace("_", " "),
        "due": when(open_until, settings.organisation),
        "closed": _day(dispute.closed_on, locale),
        "lost": _unless_zero(dispute.lost_minor, dispute.currency, locale),
        "state": state,
        "tone": tone,
        "url": _stripe_url("disputes", dispute.remote_id, settings),
    }


def _task(task: GiftTask, settings: Settings) -> dict[str, Any]:
    settled = when(task.settled_at, settings.organisation)
    return {
        "id": task.id,
        "text": task.text,
        "due": when(task.due_at, settings.organisation),
        "settled": f"{settled}, {task.settled_by}: {task.note}" if settled else None,
    }


def _event(event: GiftEvent, currency: str, settings: Settings) -> dict[str, Any]:
    """Say what happened; what a reader cannot do without stays in the words of its cause."""
    detail = event.detail
    facts = [when(event.at, settings.organisation), event.cause]
    facts += [str(detail[name]) for name in _TOLD if detail.get(name)]
    return {
        "title": _title(event, currency, settings.organisation.locale),
        "text": " · ".join(filter(None, facts)),
        "done": True,
    }


def _title(event: GiftEvent, currency: str, locale: str) -> str:
    detail = event.detail
    if "refund" in detail or "dispute" in detail:
        what = "Refund" if "refund" in detail else "Dispute"
        amount = Money(detail["minor"], currency).exact(locale)
        return f"{what} of {amount}: {detail['became'].replace('_', ' ')}"
    if "asked" in detail:
        return f"Refund of {Money(detail['asked']['minor'], currency).exact(locale)} asked for"
    if "refused" in detail:
        return "Refund not made"
    if "warning" in detail:
        return "Warning of fraud"
    return "Looked at" if "looked_at" in detail else event.status.capitalize()


def _stripe_url(kind: str, remote_id: str | None, settings: Settings) -> str | None:
    """Return where staff find it at Stripe; the sandbox has no such page."""
    if remote_id is None or settings.stripe_api_base != _STRIPE:
        return None
    mode = "" if settings.livemode else "test/"
    return f"https://dashboard.stripe.com/{mode}{kind}/{remote_id}"


def _unless_zero(minor: int, currency: str, locale: str) -> str | None:
    return Money(minor, currency).exact(locale) if minor else None


def _day(day: date | None, locale: str) -> str | None:
    return format_date(day, "medium", locale=locale) if day else None
