"""What is installed from the wheel is complete: commands, migrations, templates, static files."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_INSTALL = [
    sys.executable,
    "-m",
    "uv",
    "pip",
    "install",
    "-q",
    "--offline",
    "--no-deps",
    "--no-cache",
]

# One page of each blueprint, and the answer to somebody who is not signed in.
_PAGES = {
    "/": 200,
    "/give": 200,
    "/sign-in": 200,
    "/portal/": 303,
    "/staff/": 303,
    "/webhooks/stripe": 405,
    "/healthz": 200,
    "/readyz": 200,
}
_ASK = """
import json, os, sys
from donorportal.app import create_app
from donorportal.config import Settings

app = create_app(Settings.from_environment(os.environ))
client = app.test_client()
base = os.environ["PUBLIC_URL"]
answers = {path: client.get(path, base_url=base).status_code for path in json.load(sys.stdin)}
print(json.dumps([sys.modules["donorportal"].__file__, answers]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline with the pinned build tool."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and our dependencies, which cannot see the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    # A path in a .pth file lends the packages there, but not what their own .pth files name.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run(
        [*_INSTALL, "--python", folder / "bin" / "python", wheel],
        check=True,
        env=_plain_environment(),
    )
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The environment of a first start on a new machine."""
    return _plain_environment() | {
        "SECRET_KEY": "only-for-this-test-" * 3,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'donorportal.db'}",
        "PUBLIC_URL": "http://localhost:8000",
        "STRIPE_SECRET_KEY": "sk_test_wheel",
        "STRIPE_WEBHOOK_SECRETS": "whsec_wheel",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_FROM": "giving@example.org",
        "EMBEDDED_WORKER": "off",
    }


def _plain_environment() -> dict[str, str]:
    """Return what every program needs, and nothing that leads back to the checkout."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH"}
    }


def test_the_wheel_carries_what_the_program_reads(wheel: Path) -> None:
    """Every template, migration and static file of the checkout is inside, and no test is."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        f"donorportal/{path.relative_to(base).as_posix()}"
        for base, folder in (
            (ROOT, ROOT / "templates"),
            (ROOT, ROOT / "migrations"),
            (ROOT / "donorportal", ROOT / "donorportal"),
        )
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert expected - names == set()
    assert [name for name in names if name.startswith("tests/") or "__pycache__" in name] == []


def test_the_installed_program_makes_its_database_and_answers(
    installed: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    """From another folder, without the checkout: migrate, then one page of each blueprint."""
    upgrade = subprocess.run(
        [installed / "bin" / "donorportal", "db", "upgrade"],
        cwd=tmp_path,
        env=settings,
        check=False,
        capture_output=True,
        text=True,
    )
    assert upgrade.returncode == 0, upgrade.stdout + upgrade.stderr

    asked = subprocess.run(
        [installed / "bin" / "python", "-c", _ASK],
        cwd=tmp_path,
        env=settings,
        input=json.dumps(list(_PAGES)),
        check=False,
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    module, answers = json.loads(asked.stdout.splitlines()[-1])

    assert Path(module).is_relative_to(installed)
    assert answers == _PAGES
