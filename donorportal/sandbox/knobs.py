"""The knobs: everything that a person or a test may turn to make trouble."""

from typing import Any

from donorportal.sandbox.currencies import CURRENCIES
from donorportal.sandbox.declines import CARD_OUTCOMES
from donorportal.sandbox.errors import ApiError
from donorportal.sandbox.storage import Body, Transaction

DEFAULTS: Body = {
    "next_card": None,
    "webhook_timing": "asap",
    "webhook_duplicate": 1,
    "webhook_reorder": False,
    "webhook_delay_seconds": 0,
    "webhook_drop": 0,
    "webhook_wrong_signature": False,
    "webhook_api_version": None,
    "webhook_retry_seconds": [1, 2, 5, 10, 30, 60, 300, 900],
    "webhook_timeout_seconds": 10,
    "faults": [],
    "latency_ms": 0,
    "async_days": 4,
    "async_outcome": "succeeded",
    "refund_outcome": "succeeded",
    "refund_days": 5,
    "early_fraud_warning": False,
    "balance_pending": False,
    "dunning_days": [3, 5, 7],
    "dunning_end": "cancel",
    "fee_permille": 29,
    "fee_fixed_minor": 30,
    "dispute_fee_minor": 1500,
    "balance_currency": None,
    "exchange_millionths": 1_000_000,
}
_CHOICES: dict[str, set[str | None]] = {
    "webhook_timing": {"asap", "before", "after", "never"},
    "refund_outcome": {"succeeded", "pending", "failed"},
    "dunning_end": {"cancel", "unpaid", "past_due"},
    "async_outcome": {"succeeded", "failed"},
    "next_card": {None, *CARD_OUTCOMES},
    "balance_currency": {None, *CURRENCIES},
}
FAULTS = ("500_before", "500_after", "409", "429", "429_lock", "timeout", "timeout_before")


def read(tx: Transaction) -> Body:
    """Return every knob with its present setting."""
    settings: Body = DEFAULTS | tx.setting("knobs", {})
    return settings


def turn(tx: Transaction, changes: Body) -> Body:
    """Set knobs. Raises: ApiError for an unknown knob or setting."""
    for name, value in changes.items():
        if name not in DEFAULTS:
            raise ApiError(400, f"There is no knob {name}; there are: {', '.join(DEFAULTS)}.")
        if not _makes_sense(name, value):
            raise ApiError(400, f"{name} cannot be {value!r}.")
    tx.set_setting("knobs", tx.setting("knobs", {}) | changes)
    return read(tx)


def _makes_sense(name: str, value: Any) -> bool:
    default = DEFAULTS[name]
    if name in _CHOICES:
        return any(value == choice for choice in _CHOICES[name])
    if name == "faults":
        return isinstance(value, list) and all(_is_fault(fault) for fault in value)
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(n, int | float) for n in value)
    if isinstance(default, int):
        return isinstance(value, int | float) and value >= 0
    return value is None or isinstance(value, str)


def _is_fault(fault: Any) -> bool:
    return (
        isinstance(fault, dict)
        and fault.get("kind") in FAULTS
        and isinstance(fault.get("count", 1), int)
    )


def take_card_outcome(tx: Transaction) -> str | None:
    """Return how the next charge is to fail, once."""
    outcome: str | None = read(tx)["next_card"]
    if outcome is not None:
        turn(tx, {"next_card": None})
    return outcome


def take_fault(tx: Transaction, method: str, path: str) -> Body | None:
    """Return the fault waiting for such a request and count it down."""
    faults: list[Body] = read(tx)["faults"]
    for fault in faults:
        fits = fault.get("method", method) == method and path.startswith(fault.get("path", "/"))
        if fits and fault.get("count", 1) > 0:
            fault["count"] = fault.get("count", 1) - 1
            turn(tx, {"faults": [f for f in faults if f.get("count", 1) > 0]})
            return fault
    return None


def take_drop(tx: Transaction) -> bool:
    """Say whether the next delivery is to be lost, and count it down."""
    drop: Any = read(tx)["webhook_drop"]
    if isinstance(drop, int) and drop > 0:
        turn(tx, {"webhook_drop": drop - 1})
    return bool(drop)
