"""Tables for spreadsheet and accounting programs: CSV as in RFC 4180, written piece by piece."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

BYTE_ORDER_MARK = "\ufeff"
"""In front of a table with names in it: without one Excel misreads accents."""
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
_CHUNK_CHARACTERS = 16_384


def pieces(rows: Iterable[Sequence[str]], *, start: str = "") -> Iterator[str]:
    """Write *rows* after *start*, in pieces, so that the length of a table costs no memory."""
    buffer = StringIO()
    buffer.write(start)
    table = csv.writer(buffer)
    for row in rows:
        table.writerow(row)
        if buffer.tell() > _CHUNK_CHARACTERS:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def plain_cell(text: str) -> str:
    """Return *text* so that no spreadsheet runs it: an apostrophe in front keeps it a text."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
