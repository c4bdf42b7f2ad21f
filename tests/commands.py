"""Our commands, run as an operator runs them: as processes of their own."""

import subprocess
import sys

from tests.portal_in_process import Portal, environment_for
from tests.sandboxproc import ROOT


def run(portal: Portal, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the portal's database."""
    url = portal.engine.url.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-c", "from donorportal.cli import main; main()", *arguments],
        env={"PATH": "/usr/bin:/bin"} | environment_for(url, portal.sandbox),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
