"""A donor's gifts as a table for a spreadsheet program: CSV as in RFC 4180.

Dates and amounts are written for machines (2026-11-22, 30.50), because a spreadsheet reads those
in every language. The text begins with a byte order mark: without one Excel misreads accents.
"""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO

from donorportal.giving.history import PastGift

_BYTE_ORDER_MARK = "\ufeff"
_COLUMNS = ("Date", "Kind", "Designation", "Amount", "Refunded", "Currency", "Receipt")
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
_CHUNK_CHARACTERS = 16_384


def lines(gifts: Iterable[PastGift]) -> Iterator[str]:
    """Write the table piece by piece, so that its length costs no memory."""
    buffer = StringIO()
    buffer.write(_BYTE_ORDER_MARK)
    table = csv.writer(buffer)
    table.writerow(_COLUMNS)
    for gift in gifts:
        table.writerow(_cells(gift))
        if buffer.tell() > _CHUNK_CHARACTERS:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def plain_cell(text: str) -> str:
    """Return *text* so that no spreadsheet runs it: an apostrophe in front keeps it a text."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _cells(gift: PastGift) -> tuple[str, ...]:
    return (
        gift.given_on.isoformat(),
        "Monthly" if gift.is_monthly else "Once",
        plain_cell(gift.designation_name),
        str(gift.amount.decimal),
        str(gift.refunded.decimal),
        gift.currency,
        plain_cell(gift.receipt_number or ""),
    )
