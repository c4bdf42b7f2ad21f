"""Stripe's error envelope: what a refused request answers."""

from typing import Any


class ApiError(Exception):
    """A request that ends in an error answer. `executed` says whether its key is now used up."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        executed: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.keep = bool(more.pop("keep", False))
        kind = more.pop("type", "invalid_request_error")
        fields = {"code": code, "message": message, "param": more.pop("param", None), **more}
        self.error = {"type": kind} | {k: v for k, v in fields.items() if v is not None}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": self.error}


def missing(kind: str, object_id: str, param: str = "id") -> ApiError:
    """Refuse a request about an object that does not exist."""
    name = kind.rpartition(".")[2]
    if kind == "payment_method":
        name = "PaymentMethod"
    return ApiError(
        404 if param == "id" else 400,
        f"No such {name}: '{object_id}'",
        "resource_missing",
        param=param,
    )


def unsupported(message: str, param: str | None = None) -> ApiError:
    """Refuse what Stripe can do and the sandbox cannot, rather than pretend."""
    return ApiError(
        404 if param is None else 400, message, "sandbox_unsupported", executed=False, param=param
    )


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Refuse a request whose parameters do not fit the state of things."""
    return ApiError(400, message, code, param=param)
