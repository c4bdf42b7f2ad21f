"""The balance: what each movement was worth after fees, and what was paid out."""

from typing import Any

from donorportal.sandbox import knobs, lists
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction

_DAY = 86_400
# A payout's own movement belongs to it from the beginning.
_NOT_PAID_OUT = """
SELECT body FROM object WHERE kind = 'balance_transaction' AND id NOT IN
  (SELECT id FROM private WHERE json_extract(body, '$.payout') IS NOT NULL)
ORDER BY seq
"""


def processing_fee(tx: Transaction, amount: int) -> int:
    """Return the fee for a charge in minor units, never more than the charge."""
    settings = knobs.read(tx)
    share: int = (amount * settings["fee_permille"] + 500) // 1000
    return min(amount, share + int(settings["fee_fixed_minor"]))


def move(tx: Transaction, kind: str, source: Body, amount: int, fee: int = 0, **more: Any) -> Body:
    """Store a balance transaction; the amount is signed, in minor units of the source's currency.

    The fee is in the currency of the balance, which the knob `balance_currency` chooses.
    """
    rate = _rate(tx, source)
    if rate is not None:
        amount = worth(tx, amount, source["currency"])
        more["exchange_rate"] = rate
    currency = source["currency"] if rate is None else knobs.read(tx)["balance_currency"]
    details = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    movement = new(
        tx,
        "balance_transaction",
        amount=amount,
        available_on=tx.now + 2 * _DAY,
        balance_type="payments",
        currency=currency,
        fee=fee,
        fee_details=[details] if fee else [],
        net=amount - fee,
        reporting_category=more.pop("category", kind),
        source=source["id"],
        status="pending",
        type=kind,
        **more,
    )
    return tx.insert(movement)


def worth(tx: Transaction, amount: int, currency: str) -> int:
    """Return what an amount is credited as, in minor units of the balance's currency."""
    settings = knobs.read(tx)
    if settings["balance_currency"] in {None, currency}:
        return amount
    credited: int = (abs(amount) * settings["exchange_millionths"] + 500_000) // 1_000_000
    return credited if amount >= 0 else -credited


def _rate(tx: Transaction, source: Body) -> float | None:
    """Return the rate that Stripe would show, or None where nothing is converted."""
    settings = knobs.read(tx)
    if source["object"] == "payout" or settings["balance_currency"] in {None, source["currency"]}:
        return None
    return float(settings["exchange_millionths"] / 1_000_000)


def pay_out(
    tx: Transaction,
    currency: str | None = None,
    *,
    available: bool = False,
    outcome: str = "paid",
) -> list[Body]:
    """Pay out what was not paid out yet, one payout for each currency with a positive sum.

    With `available` only what is old enough is taken. The outcome is `paid`, `failed`, or
    `in_transit` for a payout which `settle_payout` ends.
    """
    waiting: dict[str, list[Body]] = {}
    for row in tx.sql.execute(_NOT_PAID_OUT):
        movement = tx.parse(row["body"])
        if not available or movement["available_on"] <= tx.now:
            waiting.setdefault(movement["currency"], []).append(movement)
    return [
        _pay_out_one(tx, name, movements, outcome)
        for name, movements in waiting.items()
        if currency in {None, name} and sum(m["net"] for m in movements) > 0
    ]


def _pay_out_one(tx: Transaction, currency: str, movements: list[Body], outcome: str) -> Body:
    total = sum(m["net"] for m in movements)
    payout = new(
        tx,
        "payout",
        amount=total,
        arrival_date=tx.now + _DAY,
        automatic=True,
        currency=currency,
        description="STRIPE PAYOUT",
        destination="ba_sandbox",
        metadata={},
        method="standard",
        reconciliation_status="in_progress",
        source_type="card",
        status="in_transit",
        type="bank_account",
    )
    tx.insert(payout)
    own = move(tx, "payout", payout, -total)
    for movement in movements:
        movement["status"] = "available"
        tx.save(movement)
    for movement in [*movements, own]:
        tx.set_private(movement["id"], payout=payout["id"])
    payout["balance_transaction"] = own["id"]
    tx.save(payout)
    emit(tx, "payout.created", payout)
    return payout if outcome == "in_transit" else settle_payout(tx, payout["id"], outcome)


def settle_payout(tx: Transaction, payout_id: str, outcome: str) -> Body:
    """Let a payout arrive as `paid`, or as `failed` come back, even after it was paid."""
    payout = retrieve_payout(tx, {}, payout_id)
    before = {"status": payout["status"]}
    if outcome == "paid" and payout["status"] == "in_transit":
        return _arrive(tx, payout, before)
    if outcome == "failed" and payout["status"] in {"in_transit", "paid"}:
        return _fail_payout(tx, payout, before)
    raise invalid(f"A payout that is {payout['status']} cannot become {outcome!r}.", "status")


def _arrive(tx: Transaction, payout: Body, before: Body) -> Body:
    payout["status"] = "paid"
    tx.save(payout)
    emit(tx, "payout.paid", payout, before)
    payout["reconciliation_status"] = "completed"
    tx.save(payout)
    emit(tx, "payout.reconciliation_completed", payout)
    return payout


def _fail_payout(tx: Transaction, payout: Body, before: Body) -> Body:
    back = move(tx, "payout_failure", payout, payout["amount"], category="payout_reversal")
    payout |= {
        "status": "failed",
        "failure_code": "account_closed",
        "failure_message": "The bank account has been closed.",
        "failure_balance_transaction": back["id"],
    }
    tx.save(payout)
    emit(tx, "payout.failed", payout, before)
    return payout


@operation("GET", "/v1/balance", "BalanceRetrieveParams")
def retrieve_balance(tx: Transaction, params: Body) -> Body:  # noqa: ARG001
    """Answer what is held, by currency: what was paid out is gone, the rest is there or to come."""
    held: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for movement in tx.find("balance_transaction"):
        sums = held["available" if movement["status"] == "available" else "pending"]
        code = movement["currency"]
        sums[code] = sums.get(code, 0) + movement["net"]
    parts = {
        name: [
            {"amount": amount, "currency": code, "source_types": {"card": amount}}
            for code, amount in sorted(sums.items())
        ]
        for name, sums in held.items()
    }
    return {"object": "balance", "livemode": False} | parts


@operation("GET", "/v1/balance_transactions/<id>", "BalanceTransactionRetrieveParams")
def retrieve_movement(tx: Transaction, params: Body, movement_id: str) -> Body:  # noqa: ARG001
    """Answer a balance transaction."""
    movement = tx.peek(movement_id, "balance_transaction")
    if movement is None:
        raise missing("balance_transaction", movement_id)
    return movement


@operation(
    "GET",
    "/v1/balance_transactions",
    "BalanceTransactionListParams",
    accepts=f"created currency payout source type {lists.PAGING}",
)
def list_movements(tx: Transaction, params: Body) -> Body:
    """Answer balance transactions, all or those of one payout."""
    query = lists.Query("balance_transaction", params, "currency", "source", "type")
    if "payout" in params:
        query.add(
            "seq IN (SELECT o.seq FROM private p CROSS JOIN object o ON o.id = p.id"
            " WHERE json_extract(p.body, '$.payout') = ?)",
            params["payout"],
        )
    return lists.fetch(tx, params, "/v1/balance_transactions", query)


@operation("GET", "/v1/payouts/<id>", "PayoutRetrieveParams")
def retrieve_payout(tx: Transaction, params: Body, payout_id: str) -> Body:  # noqa: ARG001
    """Answer a payout."""
    payout = tx.peek(payout_id, "payout")
    if payout is None:
        raise missing("payout", payout_id)
    return payout


@operation(
    "GET",
    "/v1/payouts",
    "PayoutListParams",
    accepts=f"arrival_date created destination status {lists.PAGING}",
)
def list_payouts(tx: Transaction, params: Body) -> Body:
    """Answer payouts, newest first."""
    query = lists.Query("payout", params, "destination", "status")
    query.compare("json_extract(body, '$.arrival_date')", params.get("arrival_date", {}))
    return lists.fetch(tx, params, "/v1/payouts", query)
