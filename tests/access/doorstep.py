"""What the tests of signing in share: people, and what their browsers and mailboxes do."""

import re
from dataclasses import dataclass, field

import pyotp
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from donorportal import clock
from donorportal.access import second_factor, signing_in, staff_accounts
from donorportal.access.models import SignIn, StaffMember
from donorportal.access.people import Realm, Role
from donorportal.config import Settings
from donorportal.db import writing_session
from donorportal.donors.addresses import parse_email
from donorportal.donors.matching import find_or_create
from donorportal.mail.models import OutboxMessage

DONOR = "indigo.loire@example.org"
STAFF = "umber.tagus@example.org"
STRANGER = "nobody@example.net"

_DOORS = {Realm.DONOR: "/sign-in", Realm.STAFF: "/staff/sign-in"}
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Doorstep:
    """An application with its database, and everything needed to stand before its doors."""

    app: Flask
    settings: Settings
    engine: sa.Engine
    places: int = field(default=0)

    def browser(self) -> FlaskClient:
        """Open a new browser, at a network address of its own so that no limit meets another's."""
        self.places += 1
        client = self.app.test_client()
        client.environ_base["REMOTE_ADDR"] = f"10.{self.places // 250}.{self.places % 250}.7"
        return client

    def donor(self, email: str = DONOR) -> int:
        """Let somebody have given."""
        with writing_session(self.engine) as session:
            return find_or_create(session, parse_email(email), "Indigo Loire")

    def staff(self, email: str = STAFF, role: Role = Role.OWNER) -> int:
        """Let somebody be a staff member who has set up the second step."""
        with writing_session(self.engine) as session:
            staff_accounts.invite(session, self.settings, email, role, "Umber Tagus")
            enrolled: int = session.execute(
                sa.update(StaffMember)
                .where(StaffMember.email == email)
                .values(enrolled_at=clock.now())
                .returning(StaffMember.id)
            ).scalar_one()
        return enrolled

    def ask(
        self, browser: FlaskClient, email: str = DONOR, realm: Realm = Realm.DONOR
    ) -> TestResponse:
        """Ask for a code as a person does: open the form, fill it in, send it."""
        return submit(browser, _DOORS[realm], {"email": email})

    def newest(self) -> SignIn:
        """Return the newest request to sign in."""
        with Session(self.engine) as session:
            return session.scalars(sa.select(SignIn).order_by(SignIn.id.desc()).limit(1)).one()

    def code(self) -> str:
        """Return the code that the newest mail will carry."""
        return signing_in.code_of(self.settings, self.newest().nonce)

    def link(self) -> str:
        """Return the path of the link that the newest mail will carry."""
        asked = self.newest()
        realm = Realm(asked.realm)
        return f"{_DOORS[realm]}/{signing_in.token_of(self.settings, realm, asked.nonce)}"

    def type_code(
        self, browser: FlaskClient, code: str, realm: Realm = Realm.DONOR
    ) -> TestResponse:
        """Type a code where the code is asked for."""
        return submit(browser, f"{_DOORS[realm]}/code", {"code": code})

    def sign_in(
        self, browser: FlaskClient, email: str = DONOR, realm: Realm = Realm.DONOR
    ) -> TestResponse:
        """Sign in as a donor, or take the first step as staff."""
        self.ask(browser, email, realm)
        return self.type_code(browser, self.code(), realm)

    def authenticator(self, email: str = STAFF) -> pyotp.TOTP:
        """Return the authenticator app of a staff member."""
        with Session(self.engine) as session:
            salt = session.scalars(
                sa.select(StaffMember.totp_salt).where(StaffMember.email == email)
            ).one()
        return pyotp.TOTP(second_factor.authenticator_keys(self.settings, salt or "")[0])

    def sign_in_staff(self, browser: FlaskClient, email: str = STAFF) -> TestResponse:
        """Take both steps."""
        self.sign_in(browser, email, Realm.STAFF)
        code = self.authenticator(email).at(int(clock.now().timestamp()))
        return submit(browser, "/staff/second-factor", {"code": code})

    def outbox(self) -> list[OutboxMessage]:
        """Return every message that was queued, oldest first."""
        with Session(self.engine) as session:
            return list(session.scalars(sa.select(OutboxMessage).order_by(OutboxMessage.id)))


def submit(
    browser: FlaskClient, path: str, fields: dict[str, str], form: str | None = None
) -> TestResponse:
    """Open the page with a form (at *form*, or *path* itself) and send it back filled in."""
    token = csrf_token(browser, form or path)
    return browser.post(path, data={**fields, "csrf_token": token})


def csrf_token(browser: FlaskClient, path: str) -> str:
    """Return the token in the form on a page; empty if there is no form."""
    found = _TOKEN.search(browser.get(path).text)
    return found[1] if found else ""


def is_signed_in(browser: FlaskClient) -> bool:
    """Say whether this browser sees the portal."""
    return browser.get("/portal/").status_code == 200


def sees_back_office(browser: FlaskClient) -> bool:
    """Say whether this browser sees the back office."""
    return browser.get("/staff/").status_code == 200


def cookie(browser: FlaskClient, name: str) -> str:
    """Return what a cookie of this browser holds."""
    found = browser.get_cookie(name)
    assert found is not None, f"no cookie {name}"
    return found.value
