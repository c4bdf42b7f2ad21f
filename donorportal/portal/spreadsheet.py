"""A donor's gifts as a table for a spreadsheet program: CSV as in RFC 4180.

Dates and amounts are written for machines (2026-11-22, 30.50), because a spreadsheet reads those
in every language. The text begins with a byte order mark: without one Excel misreads accents.
"""

from collections.abc import Iterable, Iterator, Sequence

from donorportal.giving.history import PastGift
from donorportal.spreadsheet import BYTE_ORDER_MARK, pieces, plain_cell

_COLUMNS = ("Date", "Kind", "Designation", "Amount", "Refunded", "Lost", "Currency", "Receipt")


def lines(gifts: Iterable[PastGift]) -> Iterator[str]:
    """Write the table piece by piece, so that its length costs no memory."""
    return pieces(_rows(gifts), start=BYTE_ORDER_MARK)


def _rows(gifts: Iterable[PastGift]) -> Iterator[Sequence[str]]:
    yield _COLUMNS
    for gift in gifts:
        yield _cells(gift)


def _cells(gift: PastGift) -> tuple[str, ...]:
    return (
        gift.given_on.isoformat(),
        "Monthly" if gift.is_monthly else "Once",
        plain_cell(gift.designation_name),
        str(gift.amount.decimal),
        str(gift.refunded.decimal),
        str(gift.lost.decimal),
        gift.currency,
        plain_cell(gift.receipt_number or ""),
    )
