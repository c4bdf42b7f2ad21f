"""The mails say what they are meant to say, word for word."""

import re

import pytest

from donorportal.mail.render import render
from tests.recovery.wordings import FOLDER, SETTINGS, WORDINGS, words_of


@pytest.mark.parametrize("name", sorted(WORDINGS))
def test_a_mail_reads_as_it_was_agreed(name: str) -> None:
    """Subject, text and HTML are as written down; see the module of the wordings for changes."""
    assert (FOLDER / f"{name}.txt").read_text(encoding="utf-8") == words_of(name)


def test_nothing_is_written_down_that_is_not_sent() -> None:
    """No wording is left over from a mail that is gone."""
    assert sorted(WORDINGS) == sorted(path.stem for path in FOLDER.glob("*.txt"))


@pytest.mark.parametrize("name", sorted(WORDINGS))
def test_both_parts_lead_to_the_same_places_and_load_nothing(name: str) -> None:
    """Whoever reads text gets every link; opening the HTML tells nobody anything."""
    kind, context = WORDINGS[name]
    mail = render(SETTINGS, kind, context)
    links = re.findall(r'href="([^"]+)"', mail.html)

    assert [] == [link for link in links if link not in mail.text]
    assert [] == re.findall(r"<img|<link|<script|src=|url\(|@import", mail.html)
    assert "  " not in mail.subject


@pytest.mark.parametrize("canary", ["<img src=x onerror=PWN=1>", "{{ 7 * 7 }}", "\r\nBcc: x@y.z"])
@pytest.mark.parametrize("name", ["funds", "lapsed", "card-expiring"])
def test_a_hostile_name_is_inert(name: str, canary: str) -> None:
    """SEC H2: what a donor typed is text in the mail, never markup, template or header."""
    kind, context = WORDINGS[name]
    mail = render(SETTINGS, kind, context | {"name": canary, "amount_text": canary})

    assert "<img" not in mail.html
    assert "49" not in mail.html
    assert "\r" not in mail.subject
    assert "\n" not in mail.subject
