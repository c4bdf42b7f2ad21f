"""Where the files live that travel with the code."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the directory *name*: inside the package in a wheel, beside it in a checkout.

    Raises:
        FileNotFoundError: The directory did not travel with the package.

    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"{name}/ was not shipped with donorportal")
