"""The application as gunicorn loads it for a benchmark."""

import os
from collections.abc import Mapping

from flask import Flask

from donorportal import logs
from donorportal.app import create_app
from donorportal.config import Settings


def site() -> Flask:
    """Make the application from the environment that the benchmark gave to its server."""
    logs.configure()
    return for_environment(os.environ)  # noqa: TID251 - a server's entry


def for_environment(environment: Mapping[str, str]) -> Flask:
    """Make the application with these settings."""
    return create_app(Settings.from_environment(environment))
