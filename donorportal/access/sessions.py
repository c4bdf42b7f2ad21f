"""Who is signed in: the session cookie, and how it ends."""

from datetime import timedelta
from typing import Any, cast

from flask import Flask, Response, session
from flask_login import LoginManager, current_user, login_user, logout_user
from flask_wtf.csrf import generate_csrf

from donorportal import clock
from donorportal.access import people
from donorportal.access.people import Person, Realm
from donorportal.access.purposes import Purpose, keys
from donorportal.config import Settings
from donorportal.db import db, reading, reading_session

_IDLE = timedelta(days=30)
_LONGEST = {Realm.DONOR: timedelta(days=90), Realm.STAFF: timedelta(hours=12)}
_HALF_WAY_SECONDS = 600
_DAY_SECONDS = 86_400
_UNTIL = "until"
_SEEN_ON = "seen_on"
_HALF_WAY = "half_way"
_MFA_AT = "mfa_at"


class SignedIn(Person):
    """The person behind this request."""

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def donor_id(self) -> int | None:
        """Return the donor's id; None for a staff member."""
        return self.id if self.realm == Realm.DONOR else None

    @property
    def staff_id(self) -> int | None:
        """Return the staff member's id; None for a donor."""
        return self.id if self.realm == Realm.STAFF else None

    @property
    def actor(self) -> str:
        """How the audit trail names this person, for example ``staff:3``."""
        return f"{self.realm}:{self.id}"

    def get_id(self) -> str:
        """Return what the session holds: it is void as soon as the epoch is raised."""
        return f"{self.actor}:{self.login_epoch}"


class Visitor:
    """Somebody who is not signed in."""

    realm = None
    email = ""
    name = ""
    role = None
    donor_id = None
    staff_id = None
    is_authenticated = False
    is_active = False
    is_anonymous = True

    def get_id(self) -> None:
        """Return nothing: a visitor has no id."""


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the settings of Flask, Flask-Login and Flask-WTF that keep sessions safe."""
    secure = settings.public_url.startswith("https://")
    current, *earlier = keys(settings, Purpose.SESSION)
    return {
        "SECRET_KEY": current,
        "SECRET_KEY_FALLBACKS": earlier,
        "WTF_CSRF_SECRET_KEY": keys(settings, Purpose.FORM)[0],
        # No limit of its own: a form left open overnight works as long as its session does.
        "WTF_CSRF_TIME_LIMIT": None,
        "SESSION_COOKIE_NAME": cookie_name(settings, "session"),
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True,
        # Strict would hide the session from whoever follows a link in one of our mails.
        "SESSION_COOKIE_SAMESITE": "Lax",
        "PERMANENT_SESSION_LIFETIME": _IDLE,
        # Only what changed is signed and sent again; `_load` changes it once a day.
        "SESSION_REFRESH_EACH_REQUEST": False,
    }


def cookie_name(settings: Settings, name: str) -> str:
    """Return *name* in the form that other hosts of our domain cannot set for us."""
    return f"__Host-{name}" if settings.public_url.startswith("https://") else name


def init_sign_in(app: Flask) -> None:
    """Let Flask-Login find out who is behind a request."""
    manager = _Manager(app, add_context_processor=False)
    # A telephone changes its network address all the time; the epoch ends stolen sessions.
    manager.session_protection = None
    manager.anonymous_user = Visitor
    manager.user_loader(_load)


def begin(person: Person) -> None:
    """Sign *person* in: a new session, in which nothing of the one before is left."""
    session.clear()
    now = clock.now()
    session[_UNTIL] = int((now + _LONGEST[person.realm]).timestamp())
    if person.realm == Realm.STAFF:
        session[_MFA_AT] = int(now.timestamp())
    session.permanent = True
    # What the first page would add: otherwise it would sign and send the cookie again.
    _note_the_day()
    generate_csrf()
    login_user(_signed_in(person))


def begin_half(person: Person, target: str | None) -> None:
    """Remember that *person* took the first of two steps; that alone opens no door."""
    session.clear()
    session[_HALF_WAY] = {
        "id": person.id,
        "epoch": person.login_epoch,
        "next": target,
        _UNTIL: int(clock.now().timestamp()) + _HALF_WAY_SECONDS,
    }


def half_way() -> tuple[Person, str | None] | None:
    """Return who took the first step in this browser, and the page they wanted."""
    half = session.get(_HALF_WAY)
    if half is None or half[_UNTIL] <= clock.now().timestamp():
        return None
    person = _find(Realm.STAFF, half["id"])
    if person is None or person.login_epoch != half["epoch"]:
        return None
    return person, half["next"]


def end() -> None:
    """Forget who was signed in, in this browser."""
    logout_user()
    session.clear()


def whoever() -> SignedIn | Visitor:
    """Return the person behind this request."""
    return cast("SignedIn | Visitor", current_user)


class _Manager(LoginManager):  # type: ignore[misc]  # The library has no types.
    def _update_remember_cookie(self, response: Response) -> Response:
        # We set no such cookie; looking for it would make every file's answer vary by cookie.
        return response


def _load(text: str) -> SignedIn | None:
    """Return the person a session belongs to; None if it has ended."""
    realm, _, rest = text.partition(":")
    person_id, _, epoch = rest.partition(":")
    if session.get(_UNTIL, 0) <= clock.now().timestamp():
        return None
    if realm == Realm.STAFF and _MFA_AT not in session:
        return None
    person = _find(Realm(realm), int(person_id))
    if person is None or person.login_epoch != int(epoch):
        return None
    _note_the_day()
    return _signed_in(person)


def _note_the_day() -> None:
    """Send the cookie again on every day of use, from which the idle days are counted."""
    today = int(clock.now().timestamp()) // _DAY_SECONDS
    if session.get(_SEEN_ON) != today:
        session[_SEEN_ON] = today


def _find(realm: Realm, person_id: int) -> Person | None:
    if reading.get():
        return people.by_id(db.session(), realm, person_id)
    # A request that may write must not begin its transaction here: on SQLite it would hold the
    # write lock from now on, perhaps across a call to the network.
    with reading_session(db.engine) as own:
        return people.by_id(own, realm, person_id)


def _signed_in(person: Person) -> SignedIn:
    return SignedIn(
        realm=person.realm,
        id=person.id,
        email=person.email,
        name=person.name,
        role=person.role,
        login_epoch=person.login_epoch,
    )
