"""Contract tests run against the sandbox, or with STRIPE_TEST_KEY against Stripe's test mode."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import stripe

from tests.sandboxproc import SandboxProcess
from tests.stripeparams import API_VERSION


@dataclass(frozen=True)
class Counterpart:
    """Whom the contract is tested with; `sandbox` is None when it is Stripe itself."""

    client: stripe.StripeClient
    sandbox: SandboxProcess | None


@pytest.fixture(scope="session")
def counterpart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterpart]:
    """Stripe when there is a key, otherwise a sandbox process."""
    key = os.environ.get("STRIPE_TEST_KEY", "")
    if key:
        assert key.startswith(("sk_test_", "rk_test_")), "STRIPE_TEST_KEY must be a test key"
        yield Counterpart(stripe.StripeClient(key, stripe_version=API_VERSION), None)
        return
    process = SandboxProcess(tmp_path_factory.mktemp("contract") / "sandbox.db").start()
    client = stripe.StripeClient(
        "sk_test_contract", stripe_version=API_VERSION, base_addresses={"api": process.url}
    )
    yield Counterpart(client, process)
    process.stop()


@pytest.fixture
def client(counterpart: Counterpart) -> stripe.StripeClient:
    """The SDK client of the counterpart."""
    return counterpart.client


@pytest.fixture
def sandbox(counterpart: Counterpart) -> SandboxProcess:
    """The sandbox itself, for what Stripe shows only in a browser.

    Stripe's hosted page must not be automated, so these tests cannot run against Stripe.
    """
    if counterpart.sandbox is None:
        pytest.skip("Stripe's hosted page cannot be driven by a program: sandbox only")
    return counterpart.sandbox
