"""The table of what the sandbox can answer; each capability adds its own operations."""

from collections.abc import Callable
from dataclasses import dataclass

from donorportal.sandbox.sdktypes import params_class
from donorportal.sandbox.storage import Body

Handler = Callable[..., Body]


@dataclass(frozen=True)
class Operation:
    """One endpoint: its path, the SDK's params for it, and which of them mean something here."""

    method: str
    path: str
    params: type
    accepts: frozenset[str]
    inert: frozenset[str]
    handle: Handler


OPERATIONS: list[Operation] = []


def operation(
    method: str, path: str, params: str, *, accepts: str = "", inert: str = ""
) -> Callable[[Handler], Handler]:
    """Register a handler `(tx, params, *ids)`; `inert` names what is accepted without effect."""

    def register(handle: Handler) -> Handler:
        OPERATIONS.append(
            Operation(
                method,
                path,
                params_class(params),
                frozenset([*accepts.split(), "expand"]),
                frozenset(inert.split()),
                handle,
            )
        )
        return handle

    return register
