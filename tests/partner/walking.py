"""Donors in front of the pages about their monthly gift."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from donorportal.audit.models import AuditRecord
from donorportal.db import writing_session
from donorportal.giving.models import RecurringGift, RecurringGiftEvent
from donorportal.giving.partner.models import Action, ChangeState, RecurringChange
from tests.portal_in_process import Portal

ANSWERS: dict[Action, dict[str, str]] = {
    Action.AMOUNT: {"amount": "45"},
    Action.DESIGNATION: {"designation": "rescue"},
    Action.DAY: {"day": "5"},
    Action.SKIP: {},
    Action.PAUSE: {"until": "3"},
    Action.RESUME: {},
    Action.END: {},
    Action.ONCE: {},
}
"""What the donor of these tests answers to each question; `until` is the place in the list."""


@dataclass
class Partner:
    """A donor who gives $30 a month, signed in."""

    portal: Portal
    client: FlaskClient

    @property
    def gift(self) -> RecurringGift:
        """The monthly gift as our books have it now."""
        (found,) = self.portal.scalars(sa.select(RecurringGift))
        assert isinstance(found, RecurringGift)
        return found

    @property
    def remote(self) -> dict[str, Any]:
        """The subscription as the sandbox has it now, ended or not."""
        (found,) = self.portal.sandbox.listed("subscriptions?status=all")
        return found

    @property
    def home(self) -> str:
        """The page on which everything begins."""
        return self.client.get("/portal/partner").text

    def path(self, action: Action) -> str:
        """Return the address of a change."""
        return f"/portal/partner/{self.gift.id}/{action}"

    def look(self, action: Action, **answer: str) -> TestResponse:
        """Open the page that says what an answer would do."""
        return self.client.get(self.path(action), query_string=answer)

    def form(self, action: Action, **answer: str) -> dict[str, str]:
        """Return the form with which the page lets an answer be confirmed."""
        answer = answer or ANSWERS[action]
        if "until" in answer:
            answer = {"until": self.choices(action)[int(answer["until"]) - 1]}
        page = self.look(action, **answer)
        assert page.status_code == 200, page.text
        return fields_of(page.text)

    def choices(self, action: Action) -> list[str]:
        """Return what the list of a question offers."""
        return re.findall(r'<option value="([^"]+)"', self.look(action).text)

    def confirm(self, action: Action, form: dict[str, str] | None = None) -> TestResponse:
        """Press the button."""
        return self.client.post(self.path(action), data=form or self.form(action))

    def change(self, action: Action, **answer: str) -> str:
        """Go all the way, and return the page on which one lands."""
        answer_ = self.confirm(action, self.form(action, **answer))
        assert answer_.status_code == 303, answer_.text
        return self.client.get(answer_.location).text

    def changes(self) -> list[tuple[str, str]]:
        """Return what was asked for and how it stands, oldest first."""
        asked = sa.select(RecurringChange.action, RecurringChange.state)
        return [tuple(row) for row in self.portal.rows(asked.order_by(RecurringChange.id))]

    def acts(self) -> list[tuple[str, str]]:
        """Return who did what, oldest first."""
        acts = sa.select(AuditRecord.actor, AuditRecord.action).order_by(AuditRecord.id)
        return [tuple(row) for row in self.portal.rows(acts)]

    def told(self) -> list[str]:
        """Return the history's own lines about changes, oldest first."""
        details = self.portal.scalars(
            sa.select(RecurringGiftEvent.detail).order_by(RecurringGiftEvent.id)
        )
        return [detail["change"] for detail in details if "change" in detail]

    def confirmations(self) -> list[str]:
        """Return the subjects of the mails that confirm a change, oldest first."""
        self.portal.work()
        mails = self.portal.mails(self.gift.email)
        return [m["subject"] for m in reversed(mails) if "receipt" not in m["subject"]]

    def age(self, minutes: int) -> None:
        """Let everything that is asked for have been asked for so long ago."""
        asked = RecurringChange.state == ChangeState.ASKED
        with writing_session(self.portal.engine) as session:
            for change in session.scalars(sa.select(RecurringChange).where(asked)):
                change.asked_at -= timedelta(minutes=minutes)


def signed_in(portal: Portal, donor_id: int | None, realm: str = "donor") -> FlaskClient:
    """Return a browser in which somebody is signed in."""
    client = portal.client()
    with client.session_transaction() as session:
        session["_user_id"] = f"{realm}:{donor_id}:0"
        session["_fresh"] = True
        session["until"] = 2_000_000_000_000
        if realm == "staff":
            session["mfa_at"] = 1
    return client


def fields_of(page: str) -> dict[str, str]:
    """Return the hidden fields of the form on a page."""
    main = page.partition("<main")[2]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', main))


def words_of(page: str) -> str:
    """Return what a page says, without its markup."""
    main = re.search(r"<main.*</main>", page, re.DOTALL)
    bare = re.sub(r"<[^>]+>", " ", main[0] if main else page)
    return " ".join(bare.replace("&#39;", "'").split())
