"""Those who try: robots with many addresses, and what their browsers would do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import unescape
from typing import Any

import time_machine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from donorportal.db import reading_session
from donorportal.giving.shield import holds
from donorportal.giving.shield.holds import Hold
from tests.portal_in_process import Portal, settings_for

_HASH_BITS = 256


class Attack:
    """Visitors at the form of one portal, whose limits are those of production."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        portal.settings = settings_for(
            portal.settings.database_url, portal.sandbox, CHECKOUT_LIMIT_FACTOR="1"
        )
        portal.app.extensions["settings"] = portal.settings
        self.sent = 0

    def send(
        self, *, address: str | None = None, client: FlaskClient | None = None, **fields: Any
    ) -> TestResponse:
        """Send a form: from a new network address and with a new e-mail address, by default."""
        self.sent += 1
        who = {"email": f"robot{self.sent}@example.org"} | fields
        address = address or f"10.{self.sent // 250}.{self.sent % 250}.7"
        return (client or self.portal.client()).post(
            "/give", data=self.portal.form(**who), environ_base={"REMOTE_ADDR": address}
        )

    def until_asked(self) -> TestResponse:
        """Send forms until one is asked for proof of work; return that answer."""
        for _ in range(40):
            answer = self.send()
            if asks_for_work(answer):
                return answer
        raise AssertionError("nobody was asked for proof of work")

    def decline(self, answer: TestResponse, card: str = "4000000000000002", times: int = 1) -> None:
        """Try a card on the page to which the form led, and let us hear of it."""
        for _ in range(times):
            self.portal.sandbox.pay(answer.location, card=card)
        self.portal.send_all()
        # Should we have closed the page, that is news as well.
        self.portal.send_all()

    def standing(self, *keys: str) -> dict[str, Hold]:
        """Return what is in force."""
        with reading_session(self.portal.engine) as session:
            return holds.standing(session, keys)

    @property
    def pages_opened(self) -> int:
        """How often Stripe was asked for a page."""
        path = "/v1/checkout/sessions"
        asked = self.portal.sandbox.requests("POST", path)
        return len([one for one in asked if one["path"] == path])


@contextmanager
def still() -> Iterator[time_machine.Traveller]:
    """Let the clock stand early in a minute, an hour and a ten minutes' window of its own."""
    # The sandbox has its own clock, and Stripe's pages must not open in the past.
    now = datetime.now(UTC)
    start = now.replace(minute=1, second=5, microsecond=0) + timedelta(hours=now.minute > 1)
    with time_machine.travel(start, tick=False) as clock:
        yield clock


def asks_for_work(answer: TestResponse) -> bool:
    """Say whether the page is the one that asks for proof of work."""
    return answer.status_code == 200 and "data-challenge" in answer.text


def kept(answer: TestResponse) -> dict[str, Any]:
    """Return the form as the page keeps it."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
    return {name: unescape(value) for name, value in found}


def solution(challenge: str, bits: int | None = None) -> str:
    """Return the first number that solves a challenge."""
    least = int(challenge.partition(".")[0]) if bits is None else bits
    begun = sha256(f"{challenge}:".encode())
    for number in range(2**24):
        tried = begun.copy()
        tried.update(str(number).encode())
        if int.from_bytes(tried.digest(), "big") < 1 << (_HASH_BITS - least):
            return str(number)
    raise AssertionError("no number solves it")


def solved(answer: TestResponse) -> dict[str, Any]:
    """Return the form of a page that asks for work, with the work done."""
    form = kept(answer)
    return form | {"answer": solution(form["challenge"])}
