"""The way of one API request: key, version, faults, types, idempotency, effect, answer."""

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from donorportal.sandbox import knobs
from donorportal.sandbox.errors import ApiError, unsupported
from donorportal.sandbox.expand import expand
from donorportal.sandbox.form import parse_form
from donorportal.sandbox.honesty import Dishonest, vouch
from donorportal.sandbox.http import HANG_UP
from donorportal.sandbox.objects import API_VERSION
from donorportal.sandbox.operations import OPERATIONS, Operation
from donorportal.sandbox.storage import Body, Store, Transaction, new_id
from donorportal.sandbox.typecheck import Problem, decode, request_problems

_log = logging.getLogger(__name__)
_DAY = 86_400
_CODES = {
    "payment_method_types": "payment_method_types_no_longer_supported",
}


@dataclass(frozen=True)
class _Call:
    """One request that got as far as being understood, and the fault waiting at its end."""

    op: Operation
    params: Body
    ids: tuple[str, ...]
    request_id: str
    fault: str


class Api:
    """Answers every operation from one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._in_flight: set[str] = set()
        self._guard = threading.Lock()

    def blueprint(self) -> Blueprint:
        """Return the routes of all registered operations and of everything that is refused."""
        bp = Blueprint("api", __name__)
        for op in OPERATIONS:
            bp.add_url_rule(
                op.path,
                endpoint=f"{op.method} {op.path}".replace(".", "_"),
                view_func=self._view(op),
                methods=[op.method],
            )
        everything = ["GET", "POST", "DELETE", "PUT", "PATCH"]
        bp.add_url_rule("/v1/<path:rest>", "v1", self._refuse, methods=everything)
        bp.add_url_rule("/v2/<path:rest>", "v2", self._refuse, methods=everything)
        return bp

    def _view(self, op: Operation) -> Any:
        def view(**ids: str) -> Response:
            return self._answer(op, tuple(ids.values()))

        return view

    def _refuse(self, rest: str) -> Response:  # noqa: ARG002
        error = unsupported(f"The sandbox does not answer {request.method} {request.path}.")
        return self._respond(new_id("req"), error.status, error.body, record=True)

    def _answer(self, op: Operation, ids: tuple[str, ...]) -> Response:
        request_id, key = new_id("req"), request.headers.get("Idempotency-Key")
        try:
            _authenticate()
            fault = self._next_fault()
            _fail_before(fault)
            params = _parameters(op)
            if op.method != "POST":
                key = None
            kind = fault["kind"] if fault is not None else ""
            call = _Call(op, params, ids, request_id, kind)
            status, body, replayed = self._once(call, key)
        except ApiError as error:
            return self._respond(request_id, error.status, error.body, record=True)
        except Dishonest as dishonest:
            _log.exception("sandbox_dishonest")
            body = {"error": {"type": "api_error", "code": "sandbox_dishonest"}}
            body["error"]["message"] = str(dishonest)
            return self._respond(request_id, 500, body, record=True)
        _stall_after(fault)
        return self._respond(request_id, status, body, replayed=replayed)

    def _next_fault(self) -> Body | None:
        with self.store.transaction() as tx:
            settings = knobs.read(tx)
            fault = knobs.take_fault(tx, request.method, request.path)
        if settings["latency_ms"]:
            time.sleep(settings["latency_ms"] / 1000)
        return fault

    def _once(self, call: "_Call", key: str | None) -> tuple[int, Body, bool]:
        if key is None:
            return *self._execute(call, None), False
        with self._guard:
            if key in self._in_flight:
                raise ApiError(
                    409,
                    "There is currently another in-progress request using this Idempotency-Key.",
                    "idempotency_key_in_use",
                )
            self._in_flight.add(key)
        try:
            fingerprint = _fingerprint(call.params)
            stored = self._replay(key, fingerprint, call.request_id)
            if stored is not None:
                return *stored, True
            return *self._execute(call, (key, fingerprint)), False
        finally:
            with self._guard:
                self._in_flight.discard(key)

    def _replay(self, key: str, fingerprint: str, request_id: str) -> tuple[int, Body] | None:
        with self.store.transaction() as tx:
            tx.sql.execute(
                "DELETE FROM idempotency WHERE key = ? AND created < ?",
                (key, tx.global_now() - _DAY),
            )
            row = tx.sql.execute("SELECT * FROM idempotency WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if row["fingerprint"] != fingerprint:
                raise ApiError(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they"
                    f" were first used with. Try using a key other than '{key}' if you meant to"
                    " execute a different request.",
                    type="idempotency_error",
                )
            _record(tx, request_id, row["status"], json.loads(row["body"]))
            return row["status"], json.loads(row["body"])

    def _execute(self, call: "_Call", idempotency: tuple[str, str] | None) -> tuple[int, Body]:
        try:
            with self.store.transaction() as tx:
                key = (idempotency or (None,))[0]
                tx.request = {"id": call.request_id, "idempotency_key": key}
                status, body = self._effect(call, tx)
                if call.fault == "500_after":
                    status, body = 500, _broken().body
                _remember(tx, idempotency, status, body)
                _record(tx, call.request_id, status, body)
                return status, body
        except ApiError as error:
            if error.executed:
                with self.store.transaction() as tx:
                    _remember(tx, idempotency, error.status, error.body)
            raise

    def _effect(self, call: "_Call", tx: Transaction) -> tuple[int, Body]:
        paths = call.params.pop("expand", [])
        try:
            body = call.op.handle(tx, call.params, *call.ids)
        except ApiError as error:
            if error.keep:
                return error.status, error.body
            raise
        body = expand(tx, body, paths)
        if self.store.checking:
            vouch(body)
        return 200, body

    def _respond(
        self,
        request_id: str,
        status: int,
        body: Body,
        *,
        replayed: bool = False,
        record: bool = False,
    ) -> Response:
        if record:
            with self.store.transaction() as tx:
                _record(tx, request_id, status, body)
        answer = Response(json.dumps(body), status, mimetype="application/json")
        answer.headers["Request-Id"] = request_id
        answer.headers["Stripe-Version"] = API_VERSION
        if replayed:
            answer.headers["Idempotent-Replayed"] = "true"
        key = request.headers.get("Idempotency-Key")
        if key:
            answer.headers["Idempotency-Key"] = key
        if body.get("error", {}).get("code") == "lock_timeout":
            answer.headers["Stripe-Should-Retry"] = "true"
        return answer


def _authenticate() -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic" and request.authorization is not None:
        key = request.authorization.username or ""
    if not key:
        raise ApiError(401, "You did not provide an API key.", executed=False)
    if "_live_" in key:
        raise ApiError(
            401, "This is a sandbox: it refuses live keys. Nothing was done.", executed=False
        )
    if not key.startswith("sk_test_"):
        raise ApiError(401, "Invalid API Key provided.", executed=False)
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise ApiError(
            400, f"The sandbox speaks {API_VERSION} only, not {version}.", executed=False
        )


def _fail_before(fault: Body | None) -> None:
    kind = fault["kind"] if fault is not None else ""
    if kind == "500_before":
        raise _broken()
    if kind == "409":
        message = "Another request is changing this object."
        raise ApiError(409, message, "idempotency_key_in_use", executed=False)
    if kind == "429":
        raise ApiError(429, "Request rate limit exceeded.", "rate_limit", executed=False)
    if kind == "429_lock":
        message = "This object cannot be accessed right now because another request uses it."
        raise ApiError(429, message, "lock_timeout", executed=False)
    if kind == "timeout_before" and fault is not None:
        _hang_up(fault)
        raise _broken()


def _stall_after(fault: Body | None) -> None:
    if fault is not None and fault["kind"] == "timeout":
        _hang_up(fault)


def _hang_up(fault: Body) -> None:
    time.sleep(fault.get("seconds", 5))
    request.environ[HANG_UP] = True


def _broken() -> ApiError:
    return ApiError(500, "An unknown error occurred.", type="api_error", executed=False)


def _parameters(op: Operation) -> Body:
    source = request.form if op.method == "POST" else request.args
    params = decode(op.params, parse_form(source.items(multi=True)))
    problems = request_problems(op.params, params)
    if problems:
        raise _refusal(problems[0])
    for name in params:
        if name not in op.accepts and name not in op.inert:
            raise unsupported(f"The sandbox does not know what {name} would do here.", name)
    return params


def _refusal(problem: Problem) -> ApiError:
    param = _bracketed(problem.path)
    code = _CODES.get(problem.path, problem.code)
    message = {
        "parameter_unknown": f"Received unknown parameter: {param}",
        "parameter_missing": f"Missing required param: {param}.",
    }.get(problem.code, f"Invalid {param}: {problem.text}")
    shown = None if code == "parameter_invalid" else code
    return ApiError(400, message, shown, param=param, executed=False)


def _bracketed(path: str) -> str:
    head, *rest = path.replace("[", ".").replace("]", "").split(".")
    return head + "".join(f"[{part}]" for part in rest)


def _fingerprint(params: Body) -> str:
    text = json.dumps([request.method, request.path, params], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _remember(
    tx: Transaction, idempotency: tuple[str, str] | None, status: int, body: Body
) -> None:
    if idempotency is not None:
        tx.sql.execute(
            "INSERT INTO idempotency (key, fingerprint, status, body, created)"
            " VALUES (?, ?, ?, ?, ?)",
            (*idempotency, status, json.dumps(body), tx.global_now()),
        )


def _record(tx: Transaction, request_id: str, status: int, body: Body) -> None:
    error = body.get("error", {})
    tx.sql.execute(
        "INSERT INTO request (at, id, method, path, idempotency_key, status, error)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tx.global_now(),
            request_id,
            request.method,
            request.path,
            request.headers.get("Idempotency-Key"),
            status,
            error.get("code") or error.get("message"),
        ),
    )
