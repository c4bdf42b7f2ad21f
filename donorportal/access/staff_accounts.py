"""How people become staff members: an invitation, then an authenticator app."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.access import second_factor
from donorportal.access.models import StaffMember
from donorportal.access.people import Role
from donorportal.access.purposes import Purpose, digests, mark
from donorportal.access.second_factor import Verdict
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.donors.addresses import parse_email
from donorportal.jobs import queueing
from donorportal.jobs.models import Queue
from donorportal.mail import outbox

MAIL_TASK = "access.mail_invitation"

_GOOD_FOR = timedelta(days=7)
_SALT_BYTES = 16
_SIGNATURE_DIGITS = 32
_LONGEST_ID = 18


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that still stands."""

    staff_id: int
    email: str
    salt: str


def invite(
    session: Session,
    settings: Settings,
    email: str,
    role: Role,
    name: str = "",
    *,
    actor: str = "system",
) -> str:
    """Make somebody a staff member, mail them an invitation, and return its link.

    Inviting a staff member again is how a lost telephone is replaced: their sessions end, the old
    app no longer works, and neither does an earlier invitation.

    Raises:
        AddressRefused: *email* is no address.

    """
    address = parse_email(email)
    salt = secrets.token_hex(_SALT_BYTES)
    fresh = {
        "email": address.email,
        "role": role,
        "totp_salt": salt,
        "invited_at": clock.now(),
        "enrolled_at": None,
        "disabled_at": None,
    }
    staff_id: int = session.execute(
        upsert(session, StaffMember)
        .values(email_key=address.key, name=name, totp_last_step=0, login_epoch=0, **fresh)
        .on_conflict_do_update(
            index_elements=["email_key"],
            set_={**fresh, "login_epoch": StaffMember.login_epoch + 1},
        )
        .returning(StaffMember.id)
    ).scalar_one()
    record(
        session,
        actor=actor,
        action="invite",
        subject=f"staff:{staff_id}",
        detail={"email": address.email, "role": role},
    )
    key = f"staff-invitation:{staff_id}:{salt}"
    message = outbox.queue(
        session,
        "staff-invitation",
        address=address.email,
        key=key,
        context={"role": role},
        domain=settings.mail_domain,
    )
    queueing.enqueue(
        session,
        MAIL_TASK,
        key=f"mail:{key}",
        queue=Queue.MAIL,
        max_attempts=outbox.ATTEMPTS,
        message=message,
        staff=staff_id,
    )
    return invitation_link(settings, staff_id, salt)


def invitation_link(settings: Settings, staff_id: int, salt: str) -> str:
    """Return the link of an invitation."""
    signature = mark(settings, Purpose.INVITATION, str(staff_id), salt)[:_SIGNATURE_DIGITS]
    return f"{settings.public_url}/staff/enrol/{staff_id}-{signature}"


def find_invitation(session: Session, settings: Settings, token: str) -> Invitation | None:
    """Return the invitation of a link, None if there is none or it no longer stands."""
    number, _, signature = token.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID):
        return None
    row = session.execute(
        sa.select(StaffMember.id, StaffMember.email, StaffMember.totp_salt).where(
            StaffMember.id == int(number), _stands()
        )
    ).first()
    if row is None or row.totp_salt is None:
        return None
    for digest in digests(settings, Purpose.INVITATION, str(row.id), row.totp_salt):
        if hmac.compare_digest(digest.hex()[:_SIGNATURE_DIGITS].encode(), signature.encode()):
            return Invitation(row.id, row.email, row.totp_salt)
    return None


def enrol(session: Session, settings: Settings, invitation: Invitation, typed: str) -> Verdict:
    """Finish an invitation with the first code of the authenticator app."""
    verdict = second_factor.check(session, settings, invitation.staff_id, typed)
    if verdict != Verdict.GOOD:
        return verdict
    enrolled = session.execute(
        sa.update(StaffMember)
        .where(
            StaffMember.id == invitation.staff_id,
            StaffMember.totp_salt == invitation.salt,
            _stands(),
        )
        .values(enrolled_at=clock.now())
        .returning(StaffMember.id)
        .execution_options(synchronize_session=False)
    ).first()
    if enrolled is None:
        return Verdict.WRONG
    who = f"staff:{invitation.staff_id}"
    record(session, actor=who, action="enrol", subject=who)
    return Verdict.GOOD


def disable(session: Session, staff_id: int, *, actor: str) -> None:
    """Shut a staff member out, from their next request on."""
    session.execute(
        sa.update(StaffMember)
        .where(StaffMember.id == staff_id)
        .values(disabled_at=clock.now(), login_epoch=StaffMember.login_epoch + 1)
        .execution_options(synchronize_session=False)
    )
    record(session, actor=actor, action="disable", subject=f"staff:{staff_id}")


def _stands() -> sa.ColumnElement[bool]:
    return sa.and_(
        StaffMember.enrolled_at.is_(None),
        StaffMember.disabled_at.is_(None),
        StaffMember.invited_at > clock.now() - _GOOD_FOR,
    )
