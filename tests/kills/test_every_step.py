"""kill -9 at every step of everything that moves money or promises to."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.sandboxproc import ROOT, SandboxProcess

_EXPECTED = {
    "webhook": {"pages": 1, "charges": 1, "refunds": 0, "gifts": 1},
    "month": {"pages": 1, "charges": 1, "refunds": 0, "gifts": 1},
    "checkout": {"pages": 1, "charges": 0, "refunds": 0, "gifts": 1},
    "refund": {"pages": 1, "charges": 1, "refunds": 1, "gifts": 1},
    "change": {"pages": 1, "charges": 1, "refunds": 0, "gifts": 1},
    "pause": {"pages": 1, "charges": 1, "refunds": 0, "gifts": 1},
    "payout": {"pages": 1, "charges": 1, "refunds": 1, "gifts": 1},
}


@pytest.mark.parametrize("act", _EXPECTED)
def test_killed_at_every_step_it_is_done_once_or_not_at_all(
    engine_url: str, sandbox: SandboxProcess, act: str
) -> None:
    """After each death the books are right, and in the end everything has happened once."""
    lived = _lived(engine_url, sandbox, act)

    assert [] == lived.pop("wrong")
    assert 2 < lived.pop("deaths")
    assert {"act": act, **_EXPECTED[act]} == lived


def _lived(url: str, sandbox: SandboxProcess, act: str) -> dict[str, Any]:
    ports = (str(sandbox.port), str(sandbox.smtp_port))
    child = subprocess.run(
        [sys.executable, "-m", "tests.kills.every_step", url, *ports, act],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    (line,) = (line for line in child.stdout.splitlines() if line.startswith("lived "))
    print(line)  # noqa: T201 - how often it died is worth knowing
    found: dict[str, Any] = json.loads(line.removeprefix("lived "))
    return found
