"""The second step of staff: six digits from an authenticator app, each good once."""

import base64
import hmac
import re
from datetime import timedelta
from enum import StrEnum

import pyotp
import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.access.models import StaffMember
from donorportal.access.purposes import Purpose, digests
from donorportal.config import Settings
from donorportal.limits.counting import attempt

_STEP_SECONDS = 30
_KEY_BYTES = 20
_LIMITS = ((5, timedelta(minutes=5)), (20, timedelta(hours=1)), (50, timedelta(days=1)))


class Verdict(StrEnum):
    """What came of a code."""

    GOOD = "good"
    WRONG = "wrong"
    TOO_MANY = "too many"


def authenticator_keys(settings: Settings, salt: str) -> list[str]:
    """Return the authenticator key of a staff member, the one to show first.

    More follow after SECRET_KEY was changed: an app keeps the key it was given as long as the old
    secret is among SECRET_KEY_FALLBACKS.
    """
    return [
        base64.b32encode(digest[:_KEY_BYTES]).decode()
        for digest in digests(settings, Purpose.AUTHENTICATOR, salt)
    ]


def authenticator_uri(settings: Settings, salt: str, email: str) -> str:
    """Return what the QR code for an authenticator app says."""
    app = pyotp.TOTP(authenticator_keys(settings, salt)[0])
    return app.provisioning_uri(name=email, issuer_name=settings.organisation.name)


def check(session: Session, settings: Settings, staff_id: int, typed: str) -> Verdict:
    """Accept a code at most once; the caller commits whatever came of it, so that tries count."""
    # A list, not a generator: each window counts each try.
    allowed = [
        attempt(session, f"second-factor:{staff_id}:{limit}", limit=limit, window=window)
        for limit, window in _LIMITS
    ]
    if not all(allowed):
        return Verdict.TOO_MANY
    salt = session.scalars(
        sa.select(StaffMember.totp_salt).where(StaffMember.id == staff_id)
    ).one_or_none()
    step = _step_of(settings, salt, typed)
    if step is None:
        return Verdict.WRONG
    accepted = session.execute(
        sa.update(StaffMember)
        .where(StaffMember.id == staff_id, StaffMember.totp_last_step < step)
        .values(totp_last_step=step)
        .returning(StaffMember.id)
        .execution_options(synchronize_session=False)
    ).first()
    return Verdict.WRONG if accepted is None else Verdict.GOOD


def _step_of(settings: Settings, salt: str | None, typed: str) -> int | None:
    """Return the time step a code belongs to: this one or a neighbour, since clocks differ."""
    code = typed.replace(" ", "")
    # ASCII digits only: the same six digits have one spelling, here and everywhere.
    if salt is None or re.fullmatch("[0-9]{6}", code) is None:
        return None
    now = int(clock.now().timestamp()) // _STEP_SECONDS
    # The newest first: the step is remembered, and no code of an earlier one is taken again.
    for step in (now + 1, now, now - 1):
        for key in authenticator_keys(settings, salt):
            if hmac.compare_digest(pyotp.TOTP(key).at(step * _STEP_SECONDS), code):
                return step
    return None
