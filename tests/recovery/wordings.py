"""Every mail of this capability, filled in; `python -m tests.recovery.wordings` writes them down.

What is written down is what a person reads: the subject, the text part, and the HTML part as its
words and links. A change of a word shows as a change of a file.
"""

import re
from html import unescape
from pathlib import Path
from typing import Any

from donorportal.config import Settings
from donorportal.mail.render import render

FOLDER = Path(__file__).with_name("snapshots")
_PAGE = "https://giving.example.org/portal/partner"
_CHARGE: dict[str, Any] = {
    "name": "Ana Example",
    "amount_text": "$30",
    "failed_on_text": "November 22, 2026",
    "card_text": "Visa ending in 4242",
    "portal_url": _PAGE,
    "next_try_text": "November 25, 2026",
    "is_tried_again": True,
    "confirm_url": None,
    "card_url": f"{_PAGE}/7/card",
    "charge_url": f"{_PAGE}/7/charge",
}
_NOT_AGAIN = {"next_try_text": None, "is_tried_again": False}
_LAPSED = {
    "name": "Ana Example",
    "amount_text": "$30",
    "failed_on_text": "November 22, 2026",
    "card_text": "Visa ending in 4242",
    "portal_url": _PAGE,
    "welcome_back_url": "https://giving.example.org/welcome-back/0123.abcd.wxyz",
}
WORDINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "funds": ("charge-failed", _CHARGE | {"reason": "funds"}),
    "funds-without-a-date": ("charge-failed", _CHARGE | {"reason": "funds", "next_try_text": None}),
    "expired": ("charge-failed", _CHARGE | {"reason": "expired"}),
    "passing": ("charge-failed", _CHARGE | {"reason": "passing"}),
    "other": ("charge-failed", _CHARGE | {"reason": "other"}),
    "other-not-tried-again": ("charge-failed", _CHARGE | {"reason": "other"} | _NOT_AGAIN),
    "authentication": ("charge-failed", _CHARGE | {"reason": "authentication"} | _NOT_AGAIN),
    "authentication-by-page": (
        "charge-failed",
        _CHARGE
        | {"reason": "authentication", "confirm_url": "https://invoice.stripe.com/i/1"}
        | _NOT_AGAIN,
    ),
    "lapsed": ("monthly-gift-lapsed", _LAPSED | {"tries": 4}),
    "lapsed-after-one-try": ("monthly-gift-lapsed", _LAPSED | {"tries": 1, "name": ""}),
    "card-expiring": (
        "card-expiring",
        {
            "name": "Ana Example",
            "amount_text": "$30",
            "card_text": "Visa ending in 4242",
            "last_day_text": "December 31, 2026",
            "next_on_text": "December 22, 2026",
            "card_url": f"{_PAGE}/7/card",
        },
    ),
}

SETTINGS = Settings.from_environment(
    {
        "SECRET_KEY": "k" * 40,
        "PUBLIC_URL": "https://giving.example.org",
        "STRIPE_SECRET_KEY": "sk_test_" + "1" * 24,
        "STRIPE_WEBHOOK_SECRETS": "whsec_" + "1" * 32,
        "MAIL_SERVER": "localhost",
        "MAIL_FROM": "Open Door <giving@example.org>",
        "ORGANISATION_ADDRESS": "100 Example Street|Arlington, VA 22201",
    }
)


def words_of(name: str) -> str:
    """Return one mail as a person reads it."""
    kind, context = WORDINGS[name]
    mail = render(SETTINGS, kind, context)
    return f"{mail.subject}\n\n----- text\n{mail.text}\n----- html\n{_read(mail.html)}\n"


def _read(html: str) -> str:
    body = html.partition("<body")[2].partition(">")[2]
    body = re.sub(r"\s+", " ", body)
    body = re.sub(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', r"[\2](\1)", body)
    body = re.sub(r"</(?:p|h1|td|div)>|<br>", "\n", body)
    lines = [" ".join(line.split()) for line in unescape(re.sub(r"<[^>]+>", "", body)).split("\n")]
    return "\n".join(line for line in lines if line)


def write() -> None:
    """Write down every mail as it is now."""
    for name in WORDINGS:
        (FOLDER / f"{name}.txt").write_text(words_of(name), encoding="utf-8")


if __name__ == "__main__":
    write()
