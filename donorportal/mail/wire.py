"""A message as bytes: our own serialiser, because the standard one harms long headers.

Everything is ASCII. Texts are quoted-printable in lines of 76; headers that carry addresses and
links are folded only where they have a space, and never written as encoded words.
"""

import re
from datetime import datetime
from email.header import Header
from email.quoprimime import body_encode
from email.utils import format_datetime, formataddr
from hashlib import sha256

_WIDTH = 76
_LONGEST_LINE = 998
_FORBIDDEN = re.compile(r"[\r\n\0]")
_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")
_UNSAFE_IN_ADDRESS = frozenset('<>()[],;:\\"')
_NAME = re.compile(r"[!-9;-~]+")
_CRLF = "\r\n"


class Unwritable(ValueError):  # noqa: N818 - an adjective that names the fault
    """What was given cannot be written into a message without changing the message."""


def header(name: str, value: str) -> str:
    """Write a header whose value is used exactly as it is, folded at its spaces.

    Raises:
        Unwritable: Not ASCII, or a line break or NUL in it, or a word longer than a line may be.

    """
    if not _NAME.fullmatch(name):
        raise Unwritable(f"{name!r} is not the name of a header")
    refuse_breaks(name, value)
    if not value.isascii():
        raise Unwritable(f"the header {name} must be ASCII")
    lines = [f"{name}:"]
    for word in value.split(" "):
        if len(lines[-1]) + 1 + len(word) > _WIDTH and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    if max(map(len, lines)) > _LONGEST_LINE:
        raise Unwritable(f"the header {name} has a word that no line can hold")
    return _CRLF.join(lines) + _CRLF


def refuse_breaks(name: str, value: str) -> None:
    """Check that *value* cannot end the header *name* early.

    Raises:
        Unwritable: A line break or NUL in it.

    """
    if _FORBIDDEN.search(value):
        raise Unwritable(f"the header {name} holds a line break")


def words_header(name: str, value: str) -> str:
    """Write a header of free text, such as a subject, in encoded words where it needs them.

    Raises:
        Unwritable: A line break or NUL in it.

    """
    refuse_breaks(name, value)
    if value.isascii() and value.isprintable() and "=?" not in value:
        return header(name, value)
    encoded = Header(value, "utf-8", header_name=name, maxlinelen=_WIDTH)
    return f"{name}: {encoded.encode(linesep=_CRLF)}{_CRLF}"


def mailbox_header(name: str, display_name: str, address: str) -> str:
    """Write a header with one mailbox.

    Raises:
        Unwritable: A line break or NUL in either, or an address that is not a plain ASCII one.

    """
    refuse_breaks(name, display_name)
    refuse_breaks(name, address)
    if not _ADDRESS.fullmatch(address) or not _UNSAFE_IN_ADDRESS.isdisjoint(address):
        raise Unwritable(f"the address in {name} is not a plain ASCII one")
    if display_name.isascii() and display_name.isprintable() and "=?" not in display_name:
        return header(name, formataddr((display_name, address)))
    encoded = Header(display_name, "utf-8", header_name=name, maxlinelen=_WIDTH)
    phrase = encoded.encode(linesep=_CRLF)
    return f"{name}: {phrase}{_CRLF} <{address}>{_CRLF}"


def date_header(moment: datetime) -> str:
    """Write the header that says when the message was sent."""
    return header("Date", format_datetime(moment))


def alternatives(text: str, html: str, message_id: str) -> str:
    """Write the end of the headers, and the body: plain text first, then HTML."""
    # "=_" cannot occur in quoted-printable, so no text can contain the boundary.
    boundary = "=_" + sha256(message_id.encode()).hexdigest()[:24]
    parts = [_part("plain", text), _part("html", html)]
    return (
        f'Content-Type: multipart/alternative;{_CRLF} boundary="{boundary}"{_CRLF}{_CRLF}'
        + "".join(f"--{boundary}{_CRLF}{part}{_CRLF}" for part in parts)
        + f"--{boundary}--{_CRLF}"
    )


def _part(subtype: str, text: str) -> str:
    lines = text.replace(_CRLF, "\n").replace("\r", "\n")
    octets = lines.encode().decode("latin-1")
    return (
        f"Content-Type: text/{subtype}; charset=utf-8{_CRLF}"
        f"Content-Transfer-Encoding: quoted-printable{_CRLF}{_CRLF}"
        + body_encode(octets, maxlinelen=_WIDTH, eol=_CRLF)
    )
