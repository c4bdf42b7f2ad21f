"""A donor who does not give up: whatever crashes, the same form is sent again."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from requests import ConnectionError as Unreachable
from requests import Response, Session
from requests.exceptions import ChunkedEncodingError, ReadTimeout

from tests.live_site import LiveSite
from tests.portal_in_process import hidden

_PATIENCE_SECONDS = 40.0
_BROKEN = (Unreachable, ReadTimeout, ChunkedEncodingError)
_CARD = {"number": "4242424242424242", "expiry": "12 / 34", "cvc": "123", "method": "card"}


class PatientDonor:
    """One donor with one open form; every method may meet a crash and tries again."""

    def __init__(self, site: LiveSite, number: int, *, monthly: bool = False) -> None:
        self.email = f"donor-{number}@example.org"
        self._site = site
        self._http = Session()
        page = self._http.get(f"{site.url}/give", timeout=30).text
        self._form = {
            "amount": "50",
            "currency": "USD",
            "frequency": "monthly" if monthly else "once",
            "designation": hidden(page, "designation"),
            "email": self.email,
            "key": hidden(page, "key"),
            "stamp": hidden(page, "stamp"),
        }

    def give(self) -> str:
        """Go all the way to the thank-you page and return what it says."""
        return self.land(self.pay(self.send_form()))

    def send_form(self) -> str:
        """Send the form until it leads somewhere; return where."""
        address = f"{self._site.url}/give"
        answer = self._until(
            lambda: self._http.post(address, data=self._form, allow_redirects=False, timeout=60),
            303,
        )
        return answer.headers["Location"]

    def pay(self, location: str) -> str:
        """Pay where the form led, until it is paid; return where that leads."""
        if location.startswith((self._site.url, "/")):
            return location
        details = _CARD | {"email": self.email, "name": "Sam Example"}
        answer = self._until(
            lambda: self._http.post(location, data=details, allow_redirects=False, timeout=60),
            303,
            410,
        )
        # A page that is closed was paid before the crash; the donor goes back by hand.
        checkout = urlsplit(location).path.rpartition("/")[2]
        return answer.headers.get("Location", f"/give/thanks?cs={checkout}")

    def land(self, location: str) -> str:
        """Open the page where the donor is told what happened, until it knows."""
        address = f"{self._site.url}/give/thanks?{urlsplit(location).query}"

        def look() -> Response:
            answer = self._http.get(address, timeout=60)
            if "does not answer at the moment" in answer.text:
                raise Unreachable("checking")
            return answer

        return self._until(look, 200).text

    def _until(self, attempt: Callable[[], Response], *expected: int) -> Response:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        seen = "no answer"
        while time.monotonic() < deadline:
            try:
                answer = attempt()
            except _BROKEN as error:
                seen = repr(error)
            else:
                if answer.status_code in expected:
                    return answer
                seen = f"{answer.status_code}: {answer.text[-1500:]}"
                assert answer.status_code == 503, seen
            time.sleep(0.1)
        raise AssertionError(f"gave up, last of all {seen}")
