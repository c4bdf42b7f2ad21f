"""Test clocks: customers whose time stands still until it is moved."""

from donorportal.sandbox import lists
from donorportal.sandbox.errors import invalid, missing
from donorportal.sandbox.events import emit
from donorportal.sandbox.objects import new
from donorportal.sandbox.operations import operation
from donorportal.sandbox.storage import Body, Transaction

KIND = "test_helpers.test_clock"
_PATH = "/v1/test_helpers/test_clocks"


@operation("POST", _PATH, "test_helpers.TestClockCreateParams", accepts="frozen_time name")
def create_clock(tx: Transaction, params: Body) -> Body:
    """Create a clock frozen at a moment."""
    clock = new(
        tx,
        KIND,
        deletes_after=tx.now + 30 * 86_400,
        frozen_time=params["frozen_time"],
        name=params.get("name"),
        status="ready",
        status_details={},
    )
    tx.insert(clock)
    emit(tx, "test_helpers.test_clock.created", clock)
    return clock


@operation("GET", f"{_PATH}/<id>", "test_helpers.TestClockRetrieveParams")
def retrieve_clock(tx: Transaction, params: Body, clock_id: str) -> Body:  # noqa: ARG001
    """Answer a clock."""
    clock = tx.peek(clock_id, KIND)
    if clock is None:
        raise missing(KIND, clock_id)
    return clock


@operation("GET", _PATH, "test_helpers.TestClockListParams", accepts=lists.PAGING)
def list_clocks(tx: Transaction, params: Body) -> Body:
    """Answer clocks, newest first."""
    return lists.page(tx, params, KIND, _PATH)


@operation(
    "POST", f"{_PATH}/<id>/advance", "test_helpers.TestClockAdvanceParams", accepts="frozen_time"
)
def advance_clock(tx: Transaction, params: Body, clock_id: str) -> Body:
    """Begin to move a clock; it is `ready` again once its timers have fired."""
    clock = retrieve_clock(tx, {}, clock_id)
    if clock["status"] != "ready":
        raise invalid("The test clock is already advancing.", code="test_clock_not_ready")
    if params["frozen_time"] <= clock["frozen_time"]:
        raise invalid("The new time must be later than the present one.", "frozen_time")
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": params["frozen_time"]}}
    tx.save(clock)
    emit(tx, "test_helpers.test_clock.advancing", clock)
    return clock


@operation("DELETE", f"{_PATH}/<id>", "test_helpers.TestClockDeleteParams")
def delete_clock(tx: Transaction, params: Body, clock_id: str) -> Body:  # noqa: ARG001
    """Delete a clock and the customers on it."""
    clock = retrieve_clock(tx, {}, clock_id)
    for customer in tx.find("customer", test_clock=clock_id):
        for subscription in tx.find("subscription", customer=customer["id"]):
            tx.delete(subscription["id"])
        tx.delete(customer["id"])
    tx.sql.execute("DELETE FROM timer WHERE clock = ?", (clock_id,))
    tx.delete(clock_id)
    emit(tx, "test_helpers.test_clock.deleted", clock)
    return {"id": clock_id, "object": KIND, "deleted": True}
