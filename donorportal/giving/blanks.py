"""The empty giving form, kept as text.

Everybody who asks for the same empty form gets the same page but for its key and its stamp. It is
the page that a mailing sends thousands of people to at once, so it is rendered once a day and not
once a visitor.
"""

from collections.abc import Callable
from datetime import date

from donorportal.giving.catalogue import Offers

# Stand in for what differs; both are made of letters that are never escaped.
_KEY = "key-of-this-form"
_STAMP = "stamp-of-this-form"


class Blanks:
    """Rendered pages by what they offer; forgotten when the day or the offers change."""

    def __init__(self) -> None:
        self._valid_for: tuple[date, Offers] | None = None
        self._pages: dict[tuple[str, ...], str] = {}

    def page(
        self,
        kind: tuple[str, ...],
        *,
        key: str,
        stamp: str,
        valid_for: tuple[date, Offers],
        render: Callable[[str, str], str],
    ) -> str:
        """Return the empty form of this *kind* with this *key* and *stamp*.

        *render* makes a page from a key and a stamp; it is called for the first of its kind only.
        """
        if self._valid_for != valid_for:
            self._valid_for, self._pages = valid_for, {}
        text = self._pages.get(kind)
        if text is None:
            text = self._pages[kind] = render(_KEY, _STAMP)
        return text.replace(_KEY, key).replace(_STAMP, stamp)
