"""`python -m donorportal.sandbox`: the sandbox as a process of its own."""

import argparse
import logging
import os
from pathlib import Path

from donorportal.sandbox.serve import run


def main() -> None:
    """Read the command line and serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m donorportal.sandbox", description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="the SQLite file")
    parser.add_argument("--port", type=int, default=8010, help="0 picks a free one")
    parser.add_argument("--smtp-port", type=int, help="also listen for mail; 0 picks a free one")
    parser.add_argument("--public-url", help="the origin of Checkout's pages")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    run(
        database=given.database,
        port=given.port,
        smtp_port=given.smtp_port,
        public_url=given.public_url,
        checking=os.environ.get("SANDBOX_CHECK") != "0",
    )


if __name__ == "__main__":
    main()
