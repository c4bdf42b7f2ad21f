"""A code by e-mail, for browsers that cannot or shall not do the proof of work.

The code is computed when the mail is sent and again when somebody types it; it is stored nowhere.
It is good for one form, one address, a quarter of an hour and one time.
"""

import hmac
import re
from datetime import timedelta

from sqlalchemy.orm import Session

from donorportal import clock, letters
from donorportal.config import Settings
from donorportal.donors.addresses import Address
from donorportal.giving.shield import tallies
from donorportal.giving.shield.marks import Visitor, mark
from donorportal.giving.shield.tallies import What
from donorportal.jobs.running import Run
from donorportal.limits.counting import Limit, attempt, counted, slowest, spend
from donorportal.mail.sending import send_message
from donorportal.mail.transport import Transport

MAIL_TASK = "giving.mail_code"
GOOD_FOR = timedelta(minutes=15)
_DIGITS = 8
_TRIES = 5
# Five seconds, ten, twenty and so on: after eight the code has expired.
_MAIL_ATTEMPTS = 8
_UNTIL = re.compile(r"[0-9]{1,11}")
_HALF_AN_HOUR = timedelta(minutes=30)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


class TooManyCodes(Exception):  # noqa: N818 - named for what happened
    """Enough mails were asked for by this visitor, or for this address, or altogether."""


def mail(
    session: Session, settings: Settings, *, form_key: str, address: Address, visitor: Visitor
) -> int:
    """Mail a code for the form with this key to *address*; return until when it is good.

    Raises:
        TooManyCodes: Our form must not be a way to fill somebody's mailbox.

    """
    limits = _limits(visitor, settings.checkout_limit_factor)
    if slowest(counted(session, *limits), *limits):
        raise TooManyCodes
    until = int((clock.now() + GOOD_FOR).timestamp())
    is_new = letters.write(
        session,
        settings,
        "gift-code",
        address=address.email,
        key=f"gift-code:{form_key}:{until}",
        context={},
        task=MAIL_TASK,
        attempts=_MAIL_ATTEMPTS,
        form_key=form_key,
        email_key=address.key,
        until=until,
    )
    if is_new:
        tallies.tally(session, What.MAILED)
    return until


def right(
    session: Session, settings: Settings, *, form_key: str, email_key: str, until: str, code: str
) -> bool:
    """Say whether this is the code that was mailed, and use it up; guessing is limited."""
    if not _UNTIL.fullmatch(until):
        return False
    now = clock.now()
    good_until = clock.from_timestamp(int(until))
    if not now < good_until <= now + GOOD_FOR:
        return False
    this_form = mark(settings, "form", form_key)
    if not attempt(session, f"give:code-tries:{this_form}", limit=_TRIES, window=GOOD_FOR):
        return False
    typed = "".join(code.split()).replace("-", "")
    expected = [
        _code(secret, form_key, email_key, int(until))
        for secret in (settings.secret_key, *settings.secret_key_fallbacks)
    ]
    if not any(hmac.compare_digest(typed.encode(), good.encode()) for good in expected):
        return False
    return spend(session, f"give:coded:{this_form}:{until}", expires_at=good_until)


def mail_code(
    run: Run,
    settings: Settings,
    transport: Transport,
    *,
    message: int,
    form_key: str,
    email_key: str,
    until: int,
) -> None:
    """Send a code; the outbox does not hold it."""
    code = _code(settings.secret_key, form_key, email_key, until)
    words = {
        "code": f"{code[:4]} {code[4:]}",
        "minutes": int(GOOD_FOR.total_seconds() // 60),
    }
    send_message(run, settings, transport, message=message, secrets=words)


def _limits(visitor: Visitor, factor: int) -> list[Limit]:
    marks = visitor.marks
    return [
        Limit(f"give:codes:{marks['email']}", 3, _HOUR),
        Limit(f"give:codes-day:{marks['email']}", 10, _DAY),
        Limit(f"give:codes:{marks['address']}", 5 * factor, _HOUR),
        Limit(f"give:codes:{marks['network']}", 10 * factor, _HALF_AN_HOUR),
        Limit("give:codes:everybody", 200 * factor, _HOUR),
    ]


def _code(secret: str, form_key: str, email_key: str, until: int) -> str:
    key = hmac.digest(secret.encode(), b"donorportal gift code", "sha256")
    digest = hmac.digest(key, f"{form_key}\0{email_key}\0{until}".encode(), "sha256")
    return f"{int.from_bytes(digest, 'big') % 10**_DIGITS:0{_DIGITS}d}"
