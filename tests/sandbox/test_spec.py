"""Layer 2 of honesty: objects and events against Stripe's OpenAPI specification, if it is here."""

import json
import sqlite3
from contextlib import closing
from functools import cache
from typing import Any

import pytest
import stripe
from jsonschema import Draft202012Validator

from tests.sandbox.lives import everything
from tests.sandboxproc import ROOT, SandboxProcess

SPEC = ROOT.parent / "shared" / "stripe-openapi" / "spec3.json"
# What the SDK's 2026-10-28.endive has and the specification's 2026-08-26.dahlia has not.
ALLOWED = {
    ("checkout.session", "allowed_payment_method_types"),
    ("dispute", "evidence_details.submission_method"),
    ("dispute", "intended_submission_method"),
    ("dispute", "network_reason_code"),
    ("invoice", "status_details"),
    ("product", "type"),
    ("subscription", "items.data.0.plan"),
    ("subscription", "status_details"),
}

pytestmark = pytest.mark.skipif(
    not SPEC.exists(), reason=f"Stripe's specification is not at {SPEC.parent}"
)


def test_everything_said_agrees_with_the_specification(
    sandbox: SandboxProcess, client: stripe.StripeClient
) -> None:
    """Every object and event of a full life validates against Stripe's own schemas."""
    everything(sandbox, client)

    with closing(sqlite3.connect(sandbox.database)) as database:
        said = [json.loads(body) for (body,) in database.execute("SELECT body FROM object")]
    findings = set()
    for obj in said + [e["data"]["object"] for e in said if e["object"] == "event"]:
        findings |= _findings(obj)

    assert "\n".join(sorted(findings)) == ""


def _findings(obj: dict[str, Any]) -> set[str]:
    kind = obj["object"]
    found = set()
    for error in _validator(kind).iter_errors(obj):
        found |= _leaves(kind, error)
    return found


def _leaves(kind: str, error: Any) -> set[str]:
    path = [str(step) for step in error.absolute_path]
    if error.validator == "additionalProperties":
        extra = set(error.instance) - set(error.schema["properties"])
        names = [".".join([*path, name]) for name in extra]
        return {f"{kind}.{n} is unknown" for n in names if (kind, n) not in ALLOWED}
    if error.context:
        branches: dict[Any, list[Any]] = {}
        for inner in error.context:
            branches.setdefault(inner.schema_path[0], []).append(inner)
        best = min(
            branches.values(), key=lambda es: (-max(len(e.absolute_path) for e in es), len(es))
        )
        return {leaf for inner in best for leaf in _leaves(kind, inner)}
    return {f"{kind}.{'.'.join(path)}: {error.message[:120]}"}


@cache
def _validator(kind: str) -> Draft202012Validator:
    schemas = _schemas()
    name = next(
        n
        for n, s in schemas.items()
        if kind in s.get("properties", {}).get("object", {}).get("enum", [])
        and not n.startswith("deleted_")
    )
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    )


@cache
def _schemas() -> dict[str, Any]:
    spec = json.loads(SPEC.read_text())["components"]["schemas"]
    return {name: _strict(schema) for name, schema in spec.items()}


def _strict(schema: Any) -> Any:
    """Rewrite Stripe's `nullable`, and forbid fields that are not in the schema."""
    if isinstance(schema, list):
        return [_strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {k: _strict(v) for k, v in schema.items() if k not in {"nullable", "discriminator"}}
    if isinstance(strict.get("properties"), dict) and "type" in strict:
        strict.setdefault("additionalProperties", False)
    return {"anyOf": [strict, {"type": "null"}]} if schema.get("nullable") is True else strict
