"""Signing in by e-mail: a code and a link, good for ten minutes, one use and one browser.

Whoever asks gets the same answer, after the same work, whether we know the address or not. Codes
and links are never stored: they are computed from the request's nonce when the mail is sent and
again when somebody brings one.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock, letters
from donorportal.access import people
from donorportal.access.models import SignIn
from donorportal.access.people import Person, Realm
from donorportal.access.purposes import Purpose, digests, mark
from donorportal.config import Settings
from donorportal.donors.addresses import Address
from donorportal.limits.counting import attempt, network_of

GOOD_FOR = timedelta(minutes=10)
MAIL_TASK = "access.mail_sign_in"
_CODE_DIGITS = 8
_TRIES = 5
# Five seconds, ten, twenty and so on: after eight the code has expired.
_MAIL_ATTEMPTS = 8
_NONCE_BYTES = 16
_LINK_DIGITS = 32
_HALF_AN_HOUR = timedelta(minutes=30)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


class TooManySignIns(Exception):  # noqa: N818 - named for what happened
    """Enough mails were asked for; the message says what to do."""


class Outcome(StrEnum):
    """What came of a code or a link."""

    GOOD = "good"
    WRONG = "wrong"
    USED = "used"
    EXPIRED = "expired"
    TOO_MANY_TRIES = "too many tries"
    OTHER_BROWSER = "other browser"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a code or a link, and for whom it was good."""

    outcome: Outcome
    person: Person | None = None


def request_code(
    session: Session,
    settings: Settings,
    *,
    realm: Realm,
    address: Address,
    browser_secret: str,
    remote: str,
) -> None:
    """Mail a code and a link to *address*, or say there that it has nothing to sign in to.

    *remote* is the network address of whoever asks, *browser_secret* their browser's cookie.

    Raises:
        TooManySignIns: Too many mails to this address, or from this place.

    """
    _refuse_too_many(session, settings, address, remote)
    person = people.by_address(session, realm, address.key)
    nonce = secrets.token_hex(_NONCE_BYTES)
    now = clock.now()
    sign_in_id = session.execute(
        sa.insert(SignIn)
        .values(
            realm=realm,
            email_key=address.key,
            nonce=nonce,
            browser_hash=mark(settings, Purpose.BROWSER, browser_secret),
            created_at=now,
            expires_at=now + GOOD_FOR,
        )
        .returning(SignIn.id)
    ).scalar_one()
    letters.write(
        session,
        settings,
        "sign-in-unknown" if person is None else "sign-in-code",
        # The address we know, not the one typed: they may look alike to us and not to a relay.
        address=address.email if person is None else person.email,
        key=f"sign-in:{sign_in_id}",
        context={"realm": realm},
        task=MAIL_TASK,
        attempts=_MAIL_ATTEMPTS,
        sign_in=sign_in_id,
    )


def use_code(
    session: Session, settings: Settings, *, realm: Realm, typed: str, browser_secret: str
) -> Answer:
    """Consume the code that somebody typed in the browser *browser_secret* belongs to.

    Every request of this browser that still stands is charged one try, in one statement, so that
    guessing in parallel gains nothing.
    """
    ours = _asked_in(settings, realm, browser_secret)
    standing = session.execute(
        sa.update(SignIn)
        .where(ours, _standing(), SignIn.tries < _TRIES)
        .values(tries=SignIn.tries + 1)
        .returning(SignIn.id, SignIn.nonce)
        .execution_options(synchronize_session=False)
    ).all()
    code = "".join(typed.split()).replace("-", "")
    for row in standing:
        if any(hmac.compare_digest(code.encode(), good) for good in _codes(settings, row.nonce)):
            return _consume(session, realm, row.id)
    return Answer(Outcome.WRONG if standing else _why_nothing_stands(session, ours))


def look_at_link(
    session: Session, settings: Settings, *, realm: Realm, token: str, browser_secret: str
) -> Outcome:
    """Say what would come of following a link, and change nothing: mail scanners follow links."""
    nonce = _nonce_of(settings, realm, token)
    row = session.execute(
        sa.select(SignIn.browser_hash, SignIn.used_at, SignIn.expires_at).where(
            SignIn.nonce == nonce, SignIn.realm == realm
        )
    ).first()
    if nonce is None or row is None:
        return Outcome.WRONG
    if row.used_at is not None:
        return Outcome.USED
    if row.expires_at <= clock.now():
        return Outcome.EXPIRED
    if row.browser_hash not in _browser_hashes(settings, browser_secret):
        return Outcome.OTHER_BROWSER
    return Outcome.GOOD


def use_link(
    session: Session, settings: Settings, *, realm: Realm, token: str, browser_secret: str
) -> Answer:
    """Consume a link in the browser that asked for it."""
    outcome = look_at_link(
        session, settings, realm=realm, token=token, browser_secret=browser_secret
    )
    if outcome != Outcome.GOOD:
        return Answer(outcome)
    nonce = _nonce_of(settings, realm, token)
    sign_in_id = session.scalars(sa.select(SignIn.id).where(SignIn.nonce == nonce)).one()
    return _consume(session, realm, sign_in_id)


def code_of(settings: Settings, nonce: str) -> str:
    """Return the code of a request, for the mail."""
    return _codes(settings, nonce)[0].decode()


def token_of(settings: Settings, realm: Realm, nonce: str) -> str:
    """Return the last part of a request's link, for the mail."""
    return nonce + mark(settings, Purpose.LINK, realm, nonce)[:_LINK_DIGITS]


def _refuse_too_many(session: Session, settings: Settings, address: Address, remote: str) -> None:
    mailbox = mark(settings, Purpose.LIMIT, address.key)
    network = network_of(remote)
    crowd = settings.checkout_limit_factor
    limits = (
        (f"sign-in:address:{mailbox}", 3, _HOUR, "in an hour"),
        (f"sign-in:address-day:{mailbox}", 10, _DAY, "tomorrow"),
        (f"sign-in:from:{remote}", 5 * crowd, _HOUR, "in an hour"),
        (f"sign-in:network:{network}", 10 * crowd, _HALF_AN_HOUR, "in half an hour"),
    )
    for key, limit, window, when in limits:
        if not attempt(session, key, limit=limit, window=window):
            raise TooManySignIns(
                "Enough codes were asked for. The newest one works for ten minutes after it was"
                f" sent; you can ask for another {when}."
            )


def _asked_in(settings: Settings, realm: Realm, browser_secret: str) -> sa.ColumnElement[bool]:
    hashes = _browser_hashes(settings, browser_secret)
    return sa.and_(SignIn.realm == realm, SignIn.browser_hash.in_(hashes))


def _browser_hashes(settings: Settings, browser_secret: str) -> list[str]:
    if not browser_secret:
        return []
    return [digest.hex() for digest in digests(settings, Purpose.BROWSER, browser_secret)]


def _standing() -> sa.ColumnElement[bool]:
    return sa.and_(SignIn.used_at.is_(None), SignIn.expires_at > clock.now())


def _codes(settings: Settings, nonce: str) -> list[bytes]:
    return [
        f"{int.from_bytes(digest, 'big') % 10**_CODE_DIGITS:0{_CODE_DIGITS}d}".encode()
        for digest in digests(settings, Purpose.CODE, nonce)
    ]


def _nonce_of(settings: Settings, realm: Realm, token: str) -> str | None:
    """Return the nonce of a link that we made, None for any other text."""
    nonce, signature = token[:-_LINK_DIGITS], token[-_LINK_DIGITS:].encode()
    for digest in digests(settings, Purpose.LINK, realm, nonce):
        if hmac.compare_digest(digest.hex()[:_LINK_DIGITS].encode(), signature):
            return nonce
    return None


def _consume(session: Session, realm: Realm, sign_in_id: int) -> Answer:
    """Use up one request, and with it every other that this person has open."""
    used = (
        sa.update(SignIn)
        .where(SignIn.used_at.is_(None))
        .values(used_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    email_key = session.execute(
        used.where(SignIn.id == sign_in_id, _standing()).returning(SignIn.email_key)
    ).scalar()
    if email_key is None:
        return Answer(Outcome.USED)
    session.execute(used.where(SignIn.realm == realm, SignIn.email_key == email_key))
    person = people.by_address(session, realm, email_key)
    return Answer(Outcome.WRONG) if person is None else Answer(Outcome.GOOD, person)


def _why_nothing_stands(session: Session, ours: sa.ColumnElement[bool]) -> Outcome:
    last = session.execute(
        sa.select(SignIn.used_at, SignIn.expires_at).where(ours).order_by(SignIn.id.desc()).limit(1)
    ).first()
    if last is None:
        return Outcome.OTHER_BROWSER
    if last.used_at is not None:
        return Outcome.USED
    return Outcome.EXPIRED if last.expires_at <= clock.now() else Outcome.TOO_MANY_TRIES
