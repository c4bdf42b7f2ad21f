"""The control panel: a page for people, a JSON door for tests."""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from donorportal.sandbox import balance, cards, disputes, knobs, panel, refunds, timers
from donorportal.sandbox.clocks import KIND as CLOCK
from donorportal.sandbox.delivery import Deliverer, redeliver
from donorportal.sandbox.errors import ApiError, missing
from donorportal.sandbox.page_policy import protect
from donorportal.sandbox.returned import return_debit
from donorportal.sandbox.storage import TABLES, Body, Store


class Control:
    """Routes at `/` and `/_sandbox/…`; a browser's form is sent back to the panel."""

    def __init__(self, store: Store, deliverer: Deliverer) -> None:
        self.store = store
        self.deliverer = deliverer

    def blueprint(self) -> Blueprint:
        """Return the routes."""
        bp = Blueprint("control", __name__)
        bp.after_request(protect)
        bp.add_url_rule("/", "home", lambda: redirect("/_sandbox"))
        bp.add_url_rule("/_sandbox", "panel", self.panel)
        bp.add_url_rule("/_sandbox/knobs", "knobs", self.show_knobs)
        bp.add_url_rule("/_sandbox/events", "events", self.show_events)
        bp.add_url_rule("/_sandbox/requests", "requests", self.show_requests)
        bp.add_url_rule("/_sandbox/deliveries", "deliveries", self.show_deliveries)
        actions: dict[str, Callable[..., AnyResponse]] = {
            "knobs": self.turn_knobs,
            "reset": self.reset,
            "faults": self.add_fault,
            "faults/clear": self.clear_faults,
            "advance": self.advance,
            "next-card": self.next_card,
            "disputes": self.open_dispute,
            "disputes/<dispute_id>/close": self.close_dispute,
            "fraud-warnings": self.warn_of_fraud,
            "refunds/<refund_id>/settle": self.settle_refund,
            "payouts": self.pay_out,
            "payouts/<payout_id>/settle": self.settle_payout,
            "async": self.settle_async,
            "returns": self.return_debit,
            "card-outcomes": self.choose_card_outcome,
            "card-renewals": self.renew_card,
            "deliver": self.deliver,
        }
        for path, action in actions.items():
            bp.add_url_rule(f"/_sandbox/{path}", action.__name__, action, methods=["POST"])
        return bp

    def panel(self) -> Response:
        """Show the panel."""
        with self.store.transaction() as tx:
            shown = panel.view(tx)
        return Response(render_template("control.html", **shown))

    def show_knobs(self) -> Response:
        """Answer all knobs."""
        with self.store.transaction() as tx:
            return jsonify(knobs.read(tx))

    def turn_knobs(self) -> AnyResponse:
        """Turn knobs as the JSON body, or the panel's form, says."""
        with self.store.transaction() as tx:
            return _done(knobs.turn(tx, _typed(_given())))

    def add_fault(self) -> AnyResponse:
        """Let the next request to a `path` fail with a `kind`, after the faults already waiting."""
        fault = {name: value for name, value in _given().items() if value}
        with self.store.transaction() as tx:
            waiting = knobs.read(tx)["faults"]
            return _done(knobs.turn(tx, {"faults": [*waiting, fault]}))

    def clear_faults(self) -> AnyResponse:
        """Let no request fail."""
        with self.store.transaction() as tx:
            return _done(knobs.turn(tx, {"faults": []}))

    def reset(self) -> AnyResponse:
        """Forget everything, endpoints included, unless `keep_endpoints` is set."""
        keep = _given().get("keep_endpoints")
        with self.store.transaction() as tx:
            url = tx.setting("public_url")
            endpoints = tx.find("webhook_endpoint") if keep else []
            hidden = {e["id"]: tx.private(e["id"]) for e in endpoints}
            for table in TABLES:
                tx.sql.execute(f"DELETE FROM {table}")  # noqa: S608
            tx.set_setting("public_url", url)
            for endpoint in endpoints:
                tx.insert(endpoint)
                tx.set_private(endpoint["id"], **hidden[endpoint["id"]])
        return _done({"reset": True})

    def advance(self) -> AnyResponse:
        """Let time pass: `seconds`, `days`, or `to` a moment; on a test `clock` if one is named."""
        given = _given()
        clock = given.get("clock") or None
        with self.store.transaction() as tx:
            if clock and tx.peek(clock, CLOCK) is None:
                raise missing(CLOCK, clock)
            tx.enter_clock(clock)
            now = tx.now
        span = _number(given, "seconds") + 86_400 * _number(given, "days")
        until = _number(given, "to") or now + span
        if until < now:
            raise ApiError(400, "Time only moves forward.")
        return _done({"fired": timers.advance(self.store, until, clock), "now": until})

    def next_card(self) -> AnyResponse:
        """Choose how the next charge fails; null for not at all."""
        with self.store.transaction() as tx:
            return _done(knobs.turn(tx, {"next_card": _given().get("outcome") or None}))

    def open_dispute(self) -> AnyResponse:
        """Open a dispute over a charge, or an `amount` of it; with `warning` only an inquiry."""
        given = _given()
        with self.store.transaction() as tx:
            dispute = disputes.open_dispute(
                tx,
                given.get("charge", ""),
                amount=_number(given, "amount") or None,
                reason=given.get("reason") or "fraudulent",
                warning=bool(given.get("warning")),
            )
        return _done(dispute)

    def close_dispute(self, dispute_id: str) -> AnyResponse:
        """Decide a dispute; of a won one only an `amount` may come back."""
        given = _given()
        with self.store.transaction() as tx:
            back = _number(given, "amount") or None
            return _done(
                disputes.close_dispute(tx, dispute_id, given.get("status", ""), returned=back)
            )

    def warn_of_fraud(self) -> AnyResponse:
        """Send an early fraud warning about a charge."""
        with self.store.transaction() as tx:
            return _done(disputes.warn_of_fraud(tx, _given().get("charge", "")))

    def settle_refund(self, refund_id: str) -> AnyResponse:
        """Let a refund succeed or fail now, for a `reason`; it may fail after it succeeded."""
        given = _given()
        reason = given.get("reason") or "lost_or_stolen_card"
        with self.store.transaction() as tx:
            refund = refunds.load_refund(tx, refund_id)
            return _done(refunds.settle(tx, refund, given.get("outcome", ""), reason))

    def pay_out(self) -> AnyResponse:
        """Pay out what is waiting, or only what is `available`; with `fails` it comes back.

        With `stays` the payout remains in transit.
        """
        given = _given()
        outcome = "failed" if given.get("fails") else "in_transit" if given.get("stays") else "paid"
        with self.store.transaction() as tx:
            done = balance.pay_out(
                tx,
                given.get("currency") or None,
                available=bool(given.get("available")),
                outcome=outcome,
            )
        return _done({"payouts": done})

    def settle_payout(self, payout_id: str) -> AnyResponse:
        """Let a payout arrive or come back now, as `status` says: paid or failed."""
        with self.store.transaction() as tx:
            return _done(balance.settle_payout(tx, payout_id, _given().get("status", "")))

    def settle_async(self) -> AnyResponse:
        """Let a bank debit arrive or bounce now."""
        given = _given()
        with self.store.transaction() as tx:
            intent = tx.peek(given.get("payment_intent"), "payment_intent")
            if intent is None or intent["status"] != "processing":
                raise ApiError(400, "That is no bank debit under way.")
            timers.settle_debit(tx, intent, succeeded=given.get("outcome") == "succeeded")
        return _done(intent)

    def return_debit(self) -> AnyResponse:
        """Take back a bank debit that succeeded: `how` is dispute or failure, for a `reason`."""
        given = _given()
        with self.store.transaction() as tx:
            came = return_debit(
                tx,
                given.get("charge", ""),
                given.get("how") or "dispute",
                given.get("reason") or "insufficient_funds",
            )
        return _done(came)

    def choose_card_outcome(self) -> AnyResponse:
        """Let every later charge of a saved card have an `outcome`; null lets them succeed."""
        given = _given()
        with self.store.transaction() as tx:
            method = given.get("payment_method", "")
            return _done(cards.choose_outcome(tx, method, given.get("outcome") or None))

    def renew_card(self) -> AnyResponse:
        """Let the bank renew a saved card to a `year`, `month` or `last4`."""
        given = _given()
        changes: Body = {"exp_year": _number(given, "year") or 2040}
        if given.get("month"):
            changes["exp_month"] = _number(given, "month")
        if given.get("last4"):
            changes["last4"] = f"{_number(given, 'last4'):04d}"
        with self.store.transaction() as tx:
            return _done(cards.renew_card(tx, given.get("payment_method", ""), changes))

    def deliver(self) -> AnyResponse:
        """Deliver what is pending now, or one event again `times` over."""
        given = _given()
        event = given.get("event")
        with self.store.transaction() as tx:
            if event:
                redeliver(tx, event, _number(given, "times") or 1)
            if given.get("withheld"):
                tx.sql.execute(
                    "UPDATE delivery SET state = 'pending' WHERE state IN ('withheld', 'dropped')"
                )
        return _done({"delivered": self.deliverer.flush([event] if event else None)})

    def show_requests(self) -> Response:
        """Answer the log of API requests, oldest first."""
        with self.store.transaction() as tx:
            return jsonify([dict(r) for r in tx.sql.execute("SELECT * FROM request ORDER BY seq")])

    def show_events(self) -> Response:
        """Answer every event, oldest first, those too which the API no longer lists."""
        with self.store.transaction() as tx:
            return jsonify(tx.find("event"))

    def show_deliveries(self) -> Response:
        """Answer the deliveries, oldest first."""
        with self.store.transaction() as tx:
            return jsonify([dict(r) for r in tx.sql.execute("SELECT * FROM delivery ORDER BY seq")])


def _given() -> Body:
    if request.is_json:
        body: Any = request.get_json()
        if not isinstance(body, dict):
            raise ApiError(400, "Send a JSON object.")
        return body
    return request.form.to_dict()


def _number(given: Body, name: str) -> int:
    text = str(given.get(name) or 0)
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise ApiError(400, f"{name} must be a whole number.")
    return int(text)


def _typed(given: Body) -> Body:
    if request.is_json:
        return given
    return {name: _as_default(knobs.DEFAULTS.get(name), value) for name, value in given.items()}


def _as_default(default: Any, value: str) -> Any:
    if isinstance(default, bool):
        return value in {"true", "on", "1"}
    if isinstance(default, int):
        return int(value) if value.isdecimal() else value
    if isinstance(default, list):
        return [int(part) for part in value.replace(",", " ").split() if part.isdecimal()]
    return value or None


def _done(body: Any) -> AnyResponse:
    return jsonify(body) if request.is_json else redirect("/_sandbox", 303)
