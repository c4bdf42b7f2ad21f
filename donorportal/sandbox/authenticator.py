"""An authenticator app for people who try the demo without a telephone at hand."""

import binascii
import time

import pyotp
from flask import Blueprint, render_template, request

from donorportal.sandbox.page_policy import protect


def authenticator_pages() -> Blueprint:
    """Build the page that shows the current code for a key, mounted at `/authenticator`.

    The key travels in the body of a POST and is not kept.
    """
    pages = Blueprint("authenticator", __name__, template_folder="templates")
    pages.after_request(protect)

    @pages.route("/", methods=["GET", "POST"], strict_slashes=False)
    def code() -> tuple[str, int]:
        typed = request.form.get("key", "").strip()
        if request.method == "GET":
            return render_template("authenticator.html", key="", error=None, shown=None), 200
        try:
            shown = current_code(typed)
        except ValueError as error:
            page = render_template("authenticator.html", key=typed, error=str(error), shown=None)
            return page, 422
        return render_template("authenticator.html", key=typed, error=None, shown=shown), 200

    return pages


def current_code(key: str) -> tuple[str, int]:
    """Return the code valid now for a base32 key or an otpauth:// address, and its seconds left.

    Raises:
        ValueError: it is neither; the message says what to paste.

    """
    now = time.time()
    try:
        totp = _totp(key)
        code = totp.at(int(now))
    except (ValueError, binascii.Error) as error:
        raise ValueError(
            "This is no authenticator key. Paste the letters and digits shown under the QR code "
            "(only A to Z and 2 to 7), or the whole address that begins with otpauth://totp/."
        ) from error
    return code, int(totp.interval - now % totp.interval) or 1


def _totp(key: str) -> pyotp.TOTP:
    if key.lower().startswith("otpauth:"):
        parsed = pyotp.parse_uri(key)
        if not isinstance(parsed, pyotp.TOTP):
            raise ValueError("counter-based keys have no current code")
        return parsed
    bare = key.replace(" ", "").replace("-", "").upper()
    if not bare:
        raise ValueError("empty")
    return pyotp.TOTP(bare)
