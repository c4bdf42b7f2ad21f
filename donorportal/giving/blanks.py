"""The empty giving form, kept as text.

Everybody who asks for the same empty form gets the same page but for its key and its stamp. It is
the page that a mailing sends thousands of people to at once, so it is rendered once a day and not
once a visitor.
"""

from collections.abc import Callable
from datetime import date

from donorportal.giving.catalogue import Offers
from donorportal.giving.forms import GiftForm

# Stand in for what differs; both are made of letters that are never escaped.
_KEY = "key-of-this-form"
_STAMP = "stamp-of-this-form"


class Blanks:
    """Rendered pages by what they offer; forgotten when the day or the offers change."""

    def __init__(self) -> None:
        self._valid_for: tuple[date, Offers] | None = None
        self._pages: dict[tuple[str, str, str], str] = {}

    def page(
        self, form: GiftForm, today: date, offers: Offers, render: Callable[[GiftForm], str]
    ) -> str:
        """Return the page for a *form* in which nothing has been typed."""
        if self._valid_for != (today, offers):
            self._valid_for, self._pages = (today, offers), {}
        kind = (form.frequency, form.currency, form.designation)
        text = self._pages.get(kind)
        if text is None:
            blank = GiftForm(
                frequency=form.frequency,
                currency=form.currency,
                designation=form.designation,
                key=_KEY,
                stamp=_STAMP,
            )
            text = self._pages[kind] = render(blank)
        return text.replace(_KEY, form.key).replace(_STAMP, form.stamp)
