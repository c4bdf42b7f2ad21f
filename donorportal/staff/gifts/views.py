"""Pages of gifts: search, one gift, its refund, and what needs a look."""

from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from donorportal.access import second_factor
from donorportal.access.permissions import Permission, may
from donorportal.access.second_factor import Verdict
from donorportal.access.sessions import SignedIn, whoever
from donorportal.current import gateway, settings, wake
from donorportal.db import db, unit_of_work
from donorportal.giving.models import Gift
from donorportal.giving.returns import tasks
from donorportal.giving.returns.asking import (
    RefundAsked,
    RefundRefused,
    ask_refund,
    carry_out,
    give_up,
    left_of,
    settle_refund,
    why_not,
)
from donorportal.money import AmountRefused, Money, parse_amount
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable
from donorportal.staff.gifts import finding, presenting

bp = Blueprint("gifts", __name__, url_prefix="/gifts")

_LARGEST_ID = 2**63 - 1
_LONGEST_REASON = 200
_CODE_REFUSED = {
    Verdict.WRONG: (422, "That code is not good, or was used before. Wait for the next one."),
    Verdict.TOO_MANY: (429, "Too many codes. Please wait five minutes and try again."),
}


@bp.get("")
def index() -> str:
    """Find gifts, and list those that need a look."""
    words = request.args.get("q", "").strip()[:254]
    found = finding.search(db.session(), words) if words else []
    return render_template(
        "staff/gifts/index.html",
        words=words,
        found=presenting.rows(found, settings()),
        waiting=presenting.waiting_rows(finding.waiting(db.session()), settings()),
    )


@bp.get("/<int:gift_id>")
def show(gift_id: int) -> str:
    """Show everything about one gift."""
    found = finding.known(db.session(), gift_id)
    if found is None:
        abort(404)
    why = why_not(db.session(), found.gift)
    return render_template(
        "staff/gifts/show.html",
        **presenting.page(found, settings()),
        why_no_refund=why,
        may_refund=may(whoever(), Permission.REFUND),
        may_settle=may(whoever(), Permission.SETTLE_TASKS),
    )


@bp.route("/<int:gift_id>/refunds", methods=["GET", "POST"])
def refunds(gift_id: int) -> ResponseReturnValue:
    """Ask how much goes back and why, say what that means, and send it."""
    gift = db.session().get(Gift, gift_id) if gift_id <= _LARGEST_ID else None
    if gift is None:
        abort(404)
    fields = request.form if request.method == "POST" else request.args
    form = {name: fields.get(name, "").strip() for name in ("how", "amount", "reason", "key")}
    errors, amount = _read(gift, form) if "how" in fields else ({}, None)
    page = _page_of(gift, form, amount)
    db.session().rollback()  # Nothing stays open while the code is checked and Stripe is asked.
    if errors or amount is None or request.method != "POST":
        return render_template("staff/gifts/refund.html", **page, errors=errors), (
            422 if errors else 200
        )
    status, message = _check_code()
    if message is None:
        status, message = _refund(gift_id, amount, form)
    if message is not None:
        errors = {"code" if status != 409 else "form": message}  # noqa: PLR2004 - HTTP's number
        return render_template("staff/gifts/refund.html", **page, errors=errors), status
    return redirect(url_for("staff.gifts.show", gift_id=gift_id), code=303)


@bp.post("/<int:gift_id>/tasks")
def settle(gift_id: int) -> ResponseReturnValue:
    """Settle something that needed a look, with a note."""
    if gift_id > _LARGEST_ID:
        abort(404)
    words = request.form.get("note", "").strip() or "Looked at."
    task = request.form.get("task", "")
    with unit_of_work() as work:
        if task == "look":
            found = tasks.settle_look(work, gift_id, actor=_actor(), words=words)
        else:
            task_id = int(task) if task.isascii() and task.isdigit() else 0
            found = task_id <= _LARGEST_ID and tasks.settle_task(
                work, gift_id, task_id, actor=_actor(), words=words
            )
        known = work.get(Gift, gift_id) is not None
    if not found and not known:
        abort(404)
    return redirect(url_for("staff.gifts.show", gift_id=gift_id), code=303)


def _read(gift: Gift, form: dict[str, str]) -> tuple[dict[str, str], Money | None]:
    """Return what is wrong with the form, and the amount that is to go back."""
    errors, left = {}, left_of(db.session(), gift)
    amount: Money | None = left
    refusal = why_not(db.session(), gift)
    if refusal is not None:
        return {"form": refusal}, None
    if form["how"] == "part":
        try:
            amount = parse_amount(
                form["amount"], gift.currency, settings().organisation.locale, limited=False
            )
        except AmountRefused as refused:
            amount, errors["amount"] = None, str(refused)
    if amount is not None and not 0 < amount.minor <= left.minor:
        errors["amount"] = f"At most {left.exact(settings().organisation.locale)} left to refund."
    if not form["reason"]:
        errors["reason"] = "Please say why, for whoever asks later."
    elif len(form["reason"]) > _LONGEST_REASON:
        errors["reason"] = f"Please use at most {_LONGEST_REASON} letters."
    return errors, amount


def _page_of(gift: Gift, form: dict[str, str], amount: Money | None) -> dict[str, Any]:
    locale = settings().organisation.locale
    left = left_of(db.session(), gift)
    return {
        "gift_id": gift.id,
        "who": gift.name or gift.email,
        "email": gift.email,
        "given_text": gift.amount.exact(locale),
        "left_text": left.exact(locale),
        "refusal": why_not(db.session(), gift),
        "amount_text": amount.exact(locale) if amount else None,
        "after_text": (left - amount).exact(locale) if amount else None,
        "card_text": f"{(gift.card_brand or 'card').title()} ending in {gift.card_last4}"
        if gift.card_last4
        else "the way the gift was paid",
        "is_monthly": gift.recurring_gift_id is not None,
        "form": form | {"key": form["key"] or str(uuid4())},
    }


def _check_code() -> tuple[int, str | None]:
    """Ask for the authenticator again: a computer left alone must not send money anywhere."""
    staff_id = whoever().staff_id
    with unit_of_work() as work:
        verdict = second_factor.check(work, settings(), staff_id or 0, request.form.get("code", ""))
    return _CODE_REFUSED.get(verdict, (200, None))


def _refund(gift_id: int, amount: Money, form: dict[str, str]) -> tuple[int, str | None]:
    """Ask, send and book; return a status and a sentence when it was refused."""
    try:
        key = UUID(form["key"])
        with unit_of_work() as work:
            asked = ask_refund(
                work, gift_id, amount, key=key, actor=_actor(), reason=form["reason"]
            )
    except ValueError:
        return 409, "This form is not one of ours. Please start again."
    except RefundRefused as refused:
        return 409, str(refused)
    return _send(asked)


def _send(asked: RefundAsked) -> tuple[int, str | None]:
    try:
        seen = carry_out(gateway(), asked)
    except GatewayUnavailable:
        return 200, None  # The job goes on; the gift's page says where it stands.
    except GatewayRejected as rejected:
        with unit_of_work() as work:
            give_up(work, asked, str(rejected))
        return 409, f"Stripe refused it: {rejected}. Nothing was sent."
    with unit_of_work() as work:
        settle_refund(work, asked, seen, settings=settings())
    wake()
    return 200, None


def _actor() -> str:
    person = whoever()
    if not isinstance(person, SignedIn):
        raise TypeError("only staff come here")
    return person.actor
