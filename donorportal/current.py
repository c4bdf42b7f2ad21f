"""What the running application was wired with, for the views."""

from collections.abc import Callable
from typing import cast

from flask import current_app

from donorportal.config import Settings
from donorportal.payments.gateway import Gateway


def settings() -> Settings:
    """Return the settings of this application."""
    return cast("Settings", current_app.extensions["settings"])


def gateway() -> Gateway:
    """Return the payment service of this application."""
    return cast("Gateway", current_app.extensions["gateway"])


def wake() -> None:
    """Tell the workers that there is something to do; losing this costs a little time only."""
    cast("Callable[[], None]", current_app.extensions["wake"])()
