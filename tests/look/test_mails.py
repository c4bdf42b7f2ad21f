"""Mails say it in the subject, exist as text, and load nothing."""

import re
from typing import Any

import pytest

from donorportal.mail.render import render
from tests.look.conftest import Site

_RECEIPT = {
    "name": "Ana Example",
    "amount_text": "$30",
    "currency": "USD",
    "given_on_text": "22 November 2026",
    "given_on_short": "22 November",
    "receipt_number": "R-26-104037",
    "designation_name": "Aftercare",
    "frequency": "monthly",
    "next_on_text": "22 December 2026",
    "tribute_text": "In memory of Rosa <Example>",
    "card_text": "Visa ending in 4242",
    "also_monthly_text": None,
    "portal_url": "http://localhost/portal/",
}
_SIGN_IN = {
    "realm": "donor",
    "code": "1234 5678",
    "link": "http://localhost/sign-in/abc",
    "minutes": 10,
    "sign_in_url": "http://localhost/sign-in",
}
_MONTHLY = {"name": "Ana Example", "partner_url": "http://localhost/portal/partner"}
_RETURNED = {
    "name": "Ana Example",
    "amount_text": "$20",
    "gift_text": "$30",
    "given_on_text": "22 November 2026",
    "card_text": "Visa ending in 4242",
    "whole": False,
    "arrived": True,
    "give_url": "http://localhost/give",
    "portal_url": "http://localhost/portal/gifts",
}
_MAILS: dict[str, dict[str, Any]] = {
    "gift-not-paid": _RETURNED,
    "refund-failed": _RETURNED,
    "refund-made": _RETURNED,
    "staff-dispute": {
        "amount_text": "$30",
        "task_text": "The donor's bank disputes $30.00 (fraudulent). Answer in Stripe.",
        "due_text": "29 November 2026",
        "gift_url": "http://localhost/staff/gifts/7",
    },
    "gift-code": {"code": "1234 5678", "minutes": 15},
    "gift-receipt": _RECEIPT,
    "monthly-changed": _MONTHLY
    | {
        "headline": "Your gift of 22 December 2026 is skipped",
        "sentences": ["Nothing is charged on that day. After it, your gift goes on by itself."],
        "charges": [
            {"on_text": "22 December 2026", "amount_text": "$30", "is_left_out": True},
            {"on_text": "22 January 2027", "amount_text": "$30", "is_left_out": False},
        ],
        "by_staff": True,
    },
    "monthly-link": _MONTHLY | {"amount_text": "$30"},
    "monthly-not-changed": _MONTHLY | {"asked_on_text": "22 November 2026", "has_ended": False},
    "sign-in-code": _SIGN_IN,
    "sign-in-unknown": _SIGN_IN,
    "books-halted": {
        "findings": ["entry 7 is off by 5 USD", "posting <9> belongs to no entry"],
        "further": 3,
        "staff_url": "http://localhost/staff/",
    },
    "staff-invitation": {"role": "finance", "link": "http://localhost/staff/enrol/abc"},
}


def test_a_receipt_says_what_the_tax_office_asks_for(site: Site) -> None:
    """Who received how much when, under which number, and that nothing was given in return."""
    mail = render(site.settings, "gift-receipt", _RECEIPT)

    assert mail.subject == "Your gift of $30 on 22 November, receipt R-26-104037"
    for part in (mail.text, mail.html):
        for fact in ("Open Door, Inc.", "EIN 00-0000000", "$30", "22 November 2026", "R-26-104037"):
            assert fact in part
        assert "No goods or services were provided in exchange for this gift." in part


@pytest.mark.parametrize("kind", sorted(_MAILS))
def test_a_mail_needs_nothing_from_anywhere(site: Site, kind: str) -> None:
    """No picture, no sheet, no font is loaded: opening a mail tells nobody anything."""
    mail = render(site.settings, kind, _MAILS[kind])

    assert re.findall(r"<img|<link|<script|src=|url\(|@import", mail.html) == []


@pytest.mark.parametrize("kind", sorted(_MAILS))
def test_the_text_has_every_link_and_no_markup(site: Site, kind: str) -> None:
    """Whoever reads mail as text gets the same."""
    mail = render(site.settings, kind, _MAILS[kind])

    links = re.findall(r'href="([^"]+)"', mail.html)

    assert [link for link in links if link not in mail.text] == []
    assert "&lt;" not in mail.text
    assert "{{" not in mail.text


def test_names_cannot_bring_markup_along(site: Site) -> None:
    """What donors type is text, in every part of a mail."""
    mail = render(site.settings, "gift-receipt", _RECEIPT)

    assert "Rosa &lt;Example&gt;" in mail.html
    assert "Rosa <Example>" in mail.text
