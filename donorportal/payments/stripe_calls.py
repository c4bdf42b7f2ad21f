"""Calling Stripe: errors told apart by class and code."""

from collections.abc import Iterator
from contextlib import contextmanager

import stripe

from donorportal.money import AmountRefused
from donorportal.payments.gateway import (
    GatewayFailed,
    GatewayRejected,
    GatewayUnavailable,
    PaymentDeclined,
)

# HTTP's numbers for what Stripe answers.
_CONFLICT = 409
_SERVER_ERROR = 500


@contextmanager
def translated() -> Iterator[None]:
    """Turn the SDK's errors into ours."""
    try:
        yield
    except AmountRefused as error:
        raise GatewayRejected("in a currency that we do not know") from error
    except stripe.CardError as error:
        code = getattr(error.error, "decline_code", None) or error.code or "declined"
        raise PaymentDeclined(code) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise GatewayUnavailable(type(error).__name__) from error
    except stripe.InvalidRequestError as error:
        raise GatewayRejected(f"{error.code or 'invalid_request'}: {error.param}") from error
    except stripe.StripeError as error:
        raise _of_status(error.http_status or _SERVER_ERROR, type(error).__name__) from error


def _of_status(status: int, name: str) -> Exception:
    if status == _CONFLICT:
        return GatewayUnavailable(f"{name} {status}")
    if status >= _SERVER_ERROR:
        return GatewayFailed(f"{name} {status}")
    return GatewayRejected(f"{name} {status}")


@contextmanager
def unless_gone() -> Iterator[None]:
    """Pass over a refusal to end what has ended already; what is true is asked afterwards."""
    try:
        yield
    except stripe.InvalidRequestError:
        return
