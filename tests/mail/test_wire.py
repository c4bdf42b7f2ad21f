"""The bytes of a message: exact, short-lined, and impossible to smuggle a header into."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from donorportal.config import Settings
from donorportal.mail import wire
from donorportal.mail.render import Rendered
from donorportal.mail.transport import Message, Outgoing

LONG_LINK = f"<https://give.opendoor.example/updates/unsubscribe/{'x' * 120}>"


def _outgoing(**changes: object) -> Outgoing:
    words = Rendered(
        subject="Your gift of £5",
        text="Grüße\n.\nFrom here\n" + "word " * 60 + "\n",
        html="<p>" + "ü" * 200 + "</p>\n",
    )
    values: dict[str, object] = {
        "sender": '"Doe, Jané & Trust" <giving@opendoor.example>',
        "recipient": "ada@example.org",
        "message_id": "<4f2a@opendoor.example>",
        "words": words,
    }
    return Outgoing(**{**values, **changes})  # type: ignore[arg-type]


def _parsed(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def test_the_bytes_of_a_receipt() -> None:
    """What goes over the wire is known to the byte."""
    words = Rendered(subject="Danke für 5 €", text="Grüße\n.\n", html="<p>Grüße</p>\n")

    with time_machine.travel("2026-03-01T12:00:00Z", tick=False):
        octets = Message(_outgoing(words=words)).as_bytes()

    assert octets.decode("ascii").split("\r\n") == [
        "From: =?utf-8?b?RG9lLCBKYW7DqSAmIFRydXN0?=",
        " <giving@opendoor.example>",
        "To: ada@example.org",
        "Subject: =?utf-8?b?RGFua2UgZsO8ciA1IOKCrA==?=",
        "Date: Sun, 01 Mar 2026 12:00:00 +0000",
        "Message-ID: <4f2a@opendoor.example>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: multipart/alternative;",
        ' boundary="=_59313109a2debfe81cdd16a6"',
        "",
        "--=_59313109a2debfe81cdd16a6",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Gr=C3=BC=C3=9Fe",
        ".",
        "",
        "--=_59313109a2debfe81cdd16a6",
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "<p>Gr=C3=BC=C3=9Fe</p>",
        "",
        "--=_59313109a2debfe81cdd16a6--",
        "",
    ]


def test_a_mail_program_reads_what_was_meant() -> None:
    """Parsed back, names, subject and both bodies are what they were."""
    outgoing = _outgoing()

    message = _parsed(Message(outgoing).as_bytes())

    assert message.defects == []
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (
        "Doe, Jané & Trust",
        "giving@opendoor.example",
    )
    assert message["Subject"] == "Your gift of £5"
    assert _body(message, "plain").rstrip("\n") == outgoing.words.text.rstrip("\n")
    assert _body(message, "html").rstrip("\n") == outgoing.words.html.rstrip("\n")


def test_lines_are_short_and_end_properly() -> None:
    """No line is longer than 76, no line break stands alone, nothing is 8-bit."""
    octets = Message(_outgoing()).as_bytes()

    lines = octets.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert octets.isascii()


def test_a_long_link_in_a_header_stays_a_link() -> None:
    """One-click unsubscribing works only if the header is not turned into encoded words."""
    value = f"{LONG_LINK}, <mailto:leave@opendoor.example?subject=x>"

    octets = Message(_outgoing(headers=(("List-Unsubscribe", value),))).as_bytes()

    assert f"List-Unsubscribe: {LONG_LINK},\r\n <mailto:leave@".encode() in octets
    assert b"=?" not in octets.partition(b"List-Unsubscribe")[2].partition(b"MIME-Version")[0]


def test_a_word_that_no_line_can_hold_is_refused() -> None:
    """Better no message than one that a relay may cut."""
    with pytest.raises(wire.Unwritable, match="no line can hold"):
        wire.header("List-Id", "x" * 999)


def test_the_organisations_name_is_not_cut(mail_settings: Settings) -> None:
    """A sender name with a comma and an accent arrives whole."""
    message = _parsed(Message(_outgoing(sender=mail_settings.mail_from)).as_bytes())

    assert message["From"].addresses[0].display_name == "Doe, Jané & Trust"


@pytest.mark.parametrize("address", ["jané@example.org", "a b@example.org", "a@b>c", "plain", "@x"])
def test_an_address_we_cannot_write_is_refused(address: str) -> None:
    """An address that would need quoting or another protocol is not guessed at."""
    with pytest.raises(wire.Unwritable):
        Message(_outgoing(recipient=address)).as_bytes()


def test_a_domain_in_another_script_is_written_in_ascii() -> None:
    """An international domain is reachable through any relay."""
    message = Message(_outgoing(recipient="ada@bücher.example"))

    assert message.envelope_to == "ada@xn--bcher-kva.example"
    assert _parsed(message.as_bytes())["To"] == "ada@xn--bcher-kva.example"


_breaks = st.sampled_from(["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\n.\n"])
_broken = st.tuples(st.text(max_size=20), _breaks, st.text(max_size=20)).map("".join)


@given(_broken)
def test_no_line_break_gets_into_a_header(value: str) -> None:
    """A CR, LF or NUL in any header name, value, address or name is refused."""
    for changes in (
        {"sender": f"{value} <giving@opendoor.example>"},
        {"recipient": f"{value}@example.org"},
        {"message_id": value},
        {"headers": (("X-Name", value),)},
        {"headers": ((value, "value"),)},
        {"words": Rendered(subject=value, text="", html="")},
    ):
        with pytest.raises(wire.Unwritable):
            Message(_outgoing(**changes)).as_bytes()


@given(st.text(max_size=200), st.text(max_size=400), st.text(max_size=400))
def test_whatever_the_words_are_the_message_is_sound(subject: str, text: str, html: str) -> None:
    """Any text makes a message with our headers only, in short ASCII lines."""
    subject = " ".join(subject.replace("\0", "").split())

    octets = Message(_outgoing(words=Rendered(subject, text, html))).as_bytes()

    message = _parsed(octets)
    assert message.keys() == [
        *("From", "To", "Subject", "Date", "Message-ID"),
        *("Auto-Submitted", "MIME-Version", "Content-Type"),
    ]
    assert message.is_multipart()
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.isascii()
