"""Every planted bug is caught, and the same histories without it are clean."""

import json
import os
import subprocess
import sys

import pytest
import sqlalchemy as sa

from tests.machine import ends, proving
from tests.machine.conftest import Databases
from tests.machine.planted import PLANTS, Caught
from tests.machine.world import opened
from tests.sandboxproc import ROOT, SandboxProcess


def test_every_planted_bug_is_caught(
    postgres: sa.Engine, migrated_postgres: str, sandbox: SandboxProcess
) -> None:
    """Each bug makes a check fail; the table says which one, and after how many steps."""
    server = postgres.url.render_as_string(hide_password=False)
    ports = (str(sandbox.port), str(sandbox.smtp_port))
    child = subprocess.run(
        [sys.executable, "-m", "tests.machine.planted", server, migrated_postgres, *ports],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in child.stdout.splitlines() if line.startswith("found ")]
    answers = [json.loads(line.removeprefix("found ")) for line in lines]
    caught = [Caught(*answer) for answer in answers if len(answer) > 1]
    print(_table(caught))  # noqa: T201 - which check catches which bug is worth knowing

    assert child.returncode == 0, child.stderr[-3000:]
    assert sorted(PLANTS) == sorted(one.bug for one in caught)


@pytest.mark.parametrize("bug", PLANTS)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_without_the_bug_its_history_is_clean(
    databases: Databases, sandbox: SandboxProcess, bug: str
) -> None:
    """What catches a bug is the bug, not the history."""
    plant = PLANTS[bug]
    with opened(databases(), sandbox) as world:
        for act in plant.acts:
            act(world)
            assert [] == proving.always(world)

        assert [] == ([] if plant.unheard else ends.of(world, databases))


def _table(caught: list[Caught]) -> str:
    rows = [f"{'bug':<22} {'steps':>5} {'s':>6}  caught by"]
    rows += [f"{one.bug:<22} {one.step:>5} {one.seconds:>6.1f}  {one.by[:90]}" for one in caught]
    return "\n".join(rows)
