"""The back office stands on the same doorstep as the portal."""

from tests.access.conftest import doorstep

__all__ = ["doorstep"]
