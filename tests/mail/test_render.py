"""Templates become words; what is missing or unsafe does not pass quietly."""

from pathlib import Path

import jinja2
import pytest

from donorportal.config import Settings
from donorportal.mail.render import render

RECEIPT = {
    "name": "Ada",
    "receipt_number": "2026-000001",
    "amount_text": "$50.00",
    "currency": "USD",
    "given_on_text": "March 1, 2026",
    "given_on_short": "March 1",
    "designation_name": "Where it is needed most",
    "frequency": "once",
    "tribute_text": None,
    "card_text": None,
    "next_on_text": None,
    "also_monthly_text": None,
    "portal_url": "http://localhost:8000/portal/",
}


def _write(folder: Path, subject: str, text: str, html: str) -> Path:
    kind = folder / "email" / "note"
    kind.mkdir(parents=True)
    for name, content in (("subject.txt", subject), ("body.txt", text), ("body.html", html)):
        (kind / name).write_text(content)
    return folder


def test_words_are_filled_in_and_escaped_in_html_only(
    mail_settings: Settings, tmp_path: Path
) -> None:
    """A name with markup is text in both bodies, and the subject is one line."""
    folder = _write(
        tmp_path,
        "For\n  {{ name }}\n",
        "Dear {{ name }},",
        "<p>{{ name }}, {{ organisation.name }}</p>",
    )

    words = render(mail_settings, "note", {"name": "<b>Ada & co"}, folder=folder)

    assert words.subject == "For <b>Ada & co"
    assert words.text == "Dear <b>Ada & co,"
    assert words.html == "<p>&lt;b&gt;Ada &amp; co, Open Door</p>"


def test_a_missing_word_is_an_error(mail_settings: Settings, tmp_path: Path) -> None:
    """A hole in a message is found before it is sent."""
    folder = _write(tmp_path, "For {{ name }}", "", "")

    with pytest.raises(jinja2.UndefinedError, match="name"):
        render(mail_settings, "note", {}, folder=folder)


@pytest.mark.parametrize("kind", ["../errors", "Note", "", "note/..", "_layout"])
def test_a_kind_cannot_lead_elsewhere(mail_settings: Settings, kind: str) -> None:
    """A kind is the name of one folder of mails."""
    with pytest.raises(ValueError, match="kind"):
        render(mail_settings, kind, {})


def test_the_receipt_we_ship_says_what_was_given(mail_settings: Settings) -> None:
    """Subject and both bodies of a receipt carry the amount, the number and who we are."""
    words = render(mail_settings, "gift-receipt", RECEIPT)

    assert "$50.00" in words.subject
    assert "\n" not in words.subject
    for body in (words.text, words.html):
        assert "$50.00" in body
        assert "2026-000001" in body
        assert "1 Example Street" in body


@pytest.mark.parametrize(
    "canary", ["<img src=x onerror=PWN=1>", "{{ 7 * 7 }}", "\r\nBcc: x@y.example"]
)
def test_a_hostile_name_is_inert_in_every_part(mail_settings: Settings, canary: str) -> None:
    """SEC H2: what a donor typed is text in the mail, never markup, template or header."""
    words = render(mail_settings, "gift-receipt", RECEIPT | {"name": canary, "amount_text": canary})

    assert "<img" not in words.html
    assert "49" not in words.html
    assert "{{" in words.text or "{{" not in canary
    assert "\r" not in words.subject
    assert "\n" not in words.subject
