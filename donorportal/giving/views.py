"""The giving pages: home, the form, and what happened to the money."""

from dataclasses import replace
from datetime import date
from typing import cast
from uuid import UUID, uuid4

import structlog
from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user

from donorportal import clock
from donorportal.current import gateway, settings, wake
from donorportal.db import db, reading_session, unit_of_work, writing_session
from donorportal.giving import checkout, outcome, presenting, recurring
from donorportal.giving.blanks import Blanks
from donorportal.giving.catalogue import Catalogue, Offers
from donorportal.giving.checkout import Started
from donorportal.giving.forms import GiftForm
from donorportal.giving.intent import GiftIntent
from donorportal.giving.outcome import LastGift
from donorportal.giving.settlement import settle
from donorportal.giving.shield import admitting, mailed_code, puzzle, tallies
from donorportal.giving.shield.admitting import Proof, Reason, Refusal
from donorportal.giving.shield.mailed_code import TooManyCodes
from donorportal.giving.shield.marks import Visitor, visitor
from donorportal.ledger.halting import PostingHalted
from donorportal.limits.counting import network_of
from donorportal.payments.gateway import (
    CheckoutState,
    GatewayFailed,
    GatewayRejected,
    GatewayUnavailable,
)

bp = Blueprint("giving", __name__)
log = structlog.get_logger()

# What a form brings along to show that work, or a person, is behind it.
_PROVING = ("challenge", "answer", "code_until", "code")


@bp.get("/")
def home() -> str:
    """Say who we are and how to give."""
    return render_template("home.html", designations=_offers().designations)


@bp.route("/give", methods=["GET", "POST"])
def give() -> ResponseReturnValue:
    """Show the form, or start what it asks for."""
    return _start() if request.method == "POST" else _form()


@bp.get("/give/thanks")
def thanks() -> ResponseReturnValue:
    """Say what happened to the money, as far as is known and no further."""
    remote_id = request.args.get("cs", "")[:255]
    with reading_session(db.engine) as session:
        state = outcome.state_of(session, remote_id)
    if state == "open":
        state = _ask_and_settle(remote_id)
    page = outcome.read(db.session(), remote_id, settings(), _offers())
    answer = make_response(
        render_template(
            "giving/thanks.html",
            state=state if state in {"checking", "booking"} else page.state,
            gift=page.facts,
            share_links=presenting.share_links(settings()),
            sign_in_url="/portal/",
        ),
        404 if page.state == "unknown" else 200,
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _form() -> ResponseReturnValue:
    offers = _offers()
    form = GiftForm.linked(request.args, settings(), offers)
    returning = "again" in request.args and _fill_again(form)
    if returning or not form.is_blank or current_user.donor_id:
        return _page(form, returning=returning)
    return _blank_page(form, offers)


def _start() -> ResponseReturnValue:
    form = GiftForm.posted(request.form)
    if request.form.get("instead") == "once":
        form.frequency = "once"
    network = network_of(request.remote_addr or "")
    if request.form.get("change"):
        return _page(form)
    intent = form.to_intent(settings(), _offers(), network)
    if intent is None:
        if "form" in form.errors:
            with unit_of_work() as session:
                tallies.tally(session, tallies.What.ROBOT)
        return _page(form), 422
    earlier = _asks_first(form, intent)
    if earlier is not None:
        return earlier
    who = _visitor(intent)
    if request.form.get("mail_code") and not who.signed_in:
        return _mail_code(form, intent, who)
    refusal = admitting.admit(db.engine, who, _proof(intent), settings=settings())
    if refusal is not None:
        return _refuse(form, intent, refusal)
    return _to_payment(form, intent, checkout.start(db.engine, replace(intent, origin=who.origin)))


def _to_payment(form: GiftForm, intent: GiftIntent, started: Started) -> ResponseReturnValue:
    """Send the donor to the page on which the stored gift is paid."""
    if started.finished:
        return redirect(f"/give/thanks?cs={started.remote_id or ''}", 303)
    if started.url:
        return _redirect(started.url, started)
    try:
        paid = [earlier for earlier in started.superseded if _settle_superseded(earlier)]
        if paid:
            return redirect(f"/give/thanks?cs={paid[0]}", 303)
        page = gateway().open_checkout(
            checkout.request_for(intent, started, settings()), key=started.idempotency_key
        )
        if not checkout.opened(db.engine, started, page):
            gateway().expire_checkout(page.remote_id)
            return redirect(f"/give?again={started.reference}", 303)
    except (GatewayUnavailable, GatewayRejected) as trouble:
        if isinstance(trouble, GatewayFailed):
            with unit_of_work() as session:
                checkout.begin_anew(session, started)
        return _unavailable(form, trouble)
    return _redirect(page.url, started)


def _settle_superseded(remote_id: str) -> bool:
    """Close a page that is about to be replaced; True if it turns out that somebody paid on it."""
    # Closed first: what is asked before that may be overtaken by the donor's payment.
    gateway().expire_checkout(remote_id)
    seen = gateway().observe(remote_id)
    if seen is None or seen.checkout is None or seen.checkout.state is not CheckoutState.COMPLETE:
        return False
    try:
        with unit_of_work() as session:
            settle(session, seen, cause="giving form", settings=settings())
    except PostingHalted:
        log.warning("not booked yet", checkout=remote_id)  # Its own webhook is tried again.
    return True


def _ask_and_settle(remote_id: str) -> str:
    """Ask the payment service about an unfinished gift and book what it says."""
    try:
        seen = gateway().observe(remote_id)
    except (GatewayUnavailable, GatewayRejected):
        return "checking"
    if seen is not None:
        # The donor's own arrival is a hint like any webhook, so this GET may write.
        try:
            with writing_session(db.engine) as session:
                settle(session, seen, cause="thank-you page", settings=settings())
        except PostingHalted:
            return "booking" if seen.payment and seen.payment.arrived else "asked"
        wake()
    return "asked"


def _asks_first(form: GiftForm, intent: GiftIntent) -> ResponseReturnValue | None:
    """Stop and ask when this looks like a second gift by mistake."""
    if intent.monthly and current_user.donor_id and not request.form.get("second_monthly"):
        with reading_session(db.engine) as session:
            active = recurring.active_of(session, current_user.donor_id)
        if active is not None:
            organisation = settings().organisation
            facts = presenting.gift_facts(
                active,
                None,
                None,
                organisation,
                _offers().designation_name(active.designation_code),
            )
            return render_template("giving/already_partner.html", form=form, recurring=facts)
    if request.form.get("again"):
        return None
    last = _last_gift()
    if last is None:
        return None
    with reading_session(db.engine) as session:
        previous = last.given_before(session, intent.key, settings())
    if previous is None:
        return None
    return render_template(
        "giving/just_gave.html",
        form=form,
        previous=previous,
        button_label=presenting.button_label(form, settings()),
    )


def _fill_again(form: GiftForm) -> bool:
    """Fill in what was typed before the donor went to the payment page and came back."""
    try:
        reference = UUID(request.args["again"])
    except ValueError:
        return False
    typed = checkout.abandoned_form(db.session(), reference)
    if typed is None:
        return False
    gift = typed.pop("gift")
    for name, value in typed.items():
        setattr(form, name, value)
    form.currency = gift.currency
    form.amount = presenting.typed_text(gift, settings().organisation.locale)
    return True


def _page(form: GiftForm, *, returning: bool = False) -> str:
    return render_template(
        "giving/give.html",
        returning=returning,
        signed_in_email=current_user.email if current_user.donor_id else None,
        **presenting.form_context(form, settings(), _offers(), _today()),
    )


def _blank_page(form: GiftForm, offers: Offers) -> str:
    """Return the form with nothing typed in it, which is the same for everybody."""
    blanks = cast("Blanks", current_app.extensions["blanks"])
    return blanks.page(
        (form.frequency, form.currency, form.designation),
        key=form.key,
        stamp=form.stamp,
        valid_for=(_today(), offers),
        render=lambda key, stamp: _page(replace(form, key=key, stamp=stamp)),
    )


def _visitor(intent: GiftIntent) -> Visitor:
    last = _last_gift()
    return visitor(
        settings(),
        address=request.remote_addr or "",
        email_key=intent.address.key,
        browser=last.browser if last else None,
        donor_id=current_user.donor_id,
    )


def _proof(intent: GiftIntent) -> Proof:
    typed = {name: request.form.get(name, "")[:200] for name in _PROVING}
    return Proof(form_key=str(intent.key), email_key=intent.address.key, **typed)


def _refuse(form: GiftForm, intent: GiftIntent, refusal: Refusal) -> ResponseReturnValue:
    """Say why the form is not followed, and what the visitor can do about it."""
    if refusal.reason is Reason.WORK:
        if request.form.get("code_until"):
            error = "That code is not right, or its time is over. You can have a new one."
            return _code_page(form, request.form["code_until"][:20], error), 422
        text = puzzle.challenge(settings(), str(intent.key), refusal.bits)
        return render_template(
            "giving/prove.html", form=form, kept=_kept(), challenge=text, bits=refusal.bits
        )
    form.errors["form"] = presenting.refusal_text(
        refusal.wait, settings(), blocked=refusal.reason is Reason.BLOCKED
    )
    answer = make_response(_page(form), 429)
    answer.headers["Retry-After"] = str(max(1, int(refusal.wait.total_seconds())))
    return answer


def _mail_code(form: GiftForm, intent: GiftIntent, who: Visitor) -> ResponseReturnValue:
    """Mail a code instead of asking the browser to work, and ask for it."""
    try:
        with unit_of_work() as session:
            until = mailed_code.mail(
                session, settings(), form_key=str(intent.key), address=intent.address, visitor=who
            )
    except TooManyCodes:
        error = "Enough codes were sent for now. The newest one works for a quarter of an hour."
        return _code_page(form, request.form.get("code_until", "")[:20], error), 429
    return _code_page(form, str(until))


def _code_page(form: GiftForm, until: str, error: str | None = None) -> str:
    return render_template(
        "giving/code.html",
        form=form,
        kept=_kept(),
        code_until=until,
        minutes=int(mailed_code.GOOD_FOR.total_seconds() // 60),
        error=error,
    )


def _kept() -> dict[str, str]:
    """Return the answers to earlier questions, which go along with the form."""
    return {name: "1" for name in ("again", "second_monthly") if request.form.get(name)}


def _unavailable(form: GiftForm, trouble: Exception) -> ResponseReturnValue:
    reference = uuid4().hex[:8]
    log.error("checkout not opened", reference=reference, trouble=repr(trouble))
    status = 503 if isinstance(trouble, GatewayUnavailable) else 500
    page = render_template("giving/unavailable.html", form=form, reference=reference)
    return page, status


def _redirect(url: str, started: Started) -> Response:
    """Redirect to the payment page, remembering in this browser which gift it is for."""
    answer = make_response(redirect(url, 303))
    last = _last_gift()
    browser = last.browser if last and last.browser else uuid4().hex
    LastGift(started.reference, browser).remember(answer, settings())
    return answer


def _last_gift() -> LastGift | None:
    return LastGift.from_cookie(request.cookies.get(LastGift.COOKIE, ""), settings())


def _today() -> date:
    return clock.local_date(clock.now(), settings().organisation.time_zone)


def _offers() -> Offers:
    catalogue = cast("Catalogue", current_app.extensions["catalogue"])
    return catalogue.offers(db.engine)
