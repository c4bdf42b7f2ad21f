"""The page about differences is complete, and the table of operations means what it says."""

import re

import pytest

from donorportal.sandbox import app
from donorportal.sandbox.operations import OPERATIONS, Operation
from donorportal.sandbox.sdktypes import annotations_of_params
from tests.sandboxproc import ROOT

assert app  # Importing the application registers all operations.
PAGE = (ROOT / "docs" / "sandbox-differences.md").read_text()


def name_of(operation: Operation) -> str:
    """Return an operation as the page writes it."""
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_parameters_without_effect_are_listed(operation: Operation) -> None:
    """Whatever is accepted without effect stands in the table, beside its request."""
    (row, *_) = [line for line in PAGE.splitlines() if f"`{name_of(operation)}`" in line] or [""]

    assert operation.inert <= set(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_accepted_parameters_exist(operation: Operation) -> None:
    """The sandbox accepts nothing that the SDK does not offer."""
    offered = set(annotations_of_params(operation.params)) | {"expand"}

    assert operation.accepts | operation.inert <= offered
