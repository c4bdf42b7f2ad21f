"""How people become staff members: an invitation, then an authenticator app."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock, letters
from donorportal.access import second_factor
from donorportal.access.models import StaffMember
from donorportal.access.people import Role
from donorportal.access.purposes import Purpose, digests, mark
from donorportal.access.second_factor import Verdict
from donorportal.audit.record import record
from donorportal.config import Settings
from donorportal.db import upsert
from donorportal.donors.addresses import parse_email

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


class LastOwner(Exception):  # noqa: N818 - named for what happened
    """The only active owner cannot be disabled."""


class Standing(StrEnum):
    """Whether a staff member can sign in."""

    ACTIVE = "active"
    INVITED = "invited"
    EXPIRED = "invitation expired"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Colleague:
    """A staff member as a list shows them."""

    staff_id: int
    email: str
    role: str
    standing: Standing


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
    letters.write(
        session,
        settings,
        "staff-invitation",
        address=address.email,
        key=f"staff-invitation:{staff_id}:{salt}",
        context={"role": role},
        task=MAIL_TASK,
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


def disable(session: Session, staff_id: int, *, actor: str) -> bool:
    """Shut a staff member out, from their next request on; False if they are out already.

    Raises:
        LastOwner: Nobody would be left who can look after the others.

    """
    owners = _lock_active_owners(session)
    if owners == [staff_id]:
        raise LastOwner("Nobody else is an active owner.")
    disabled = session.execute(
        sa.update(StaffMember)
        .where(StaffMember.id == staff_id, StaffMember.disabled_at.is_(None))
        .values(disabled_at=clock.now(), login_epoch=StaffMember.login_epoch + 1)
        .returning(StaffMember.id)
        .execution_options(synchronize_session=False)
    ).first()
    if disabled is None:
        return False
    record(session, actor=actor, action="disable", subject=f"staff:{staff_id}")
    return True


def everybody(session: Session) -> list[Colleague]:
    """Return every staff member, in the order in which they were first invited."""
    rows = session.execute(
        sa.select(
            StaffMember.id,
            StaffMember.email,
            StaffMember.role,
            sa.case(
                (StaffMember.disabled_at.is_not(None), Standing.DISABLED.value),
                (StaffMember.enrolled_at.is_not(None), Standing.ACTIVE.value),
                (_stands(), Standing.INVITED.value),
                else_=Standing.EXPIRED.value,
            ),
        ).order_by(StaffMember.id)
    )
    return [
        Colleague(staff_id, email, role, Standing(state)) for staff_id, email, role, state in rows
    ]


def find(session: Session, email: str) -> int | None:
    """Return the id of the staff member with an address, None if there is none.

    Raises:
        AddressRefused: *email* is no address.

    """
    key = parse_email(email).key
    return session.scalar(sa.select(StaffMember.id).where(StaffMember.email_key == key))


def _lock_active_owners(session: Session) -> list[int]:
    """Return the active owners; nobody else disables one of them until we are done."""
    active = (
        sa.select(StaffMember.id)
        .where(
            StaffMember.role == Role.OWNER,
            StaffMember.enrolled_at.is_not(None),
            StaffMember.disabled_at.is_(None),
        )
        .order_by(StaffMember.id)
        .with_for_update()
    )
    return list(session.scalars(active))


def _stands() -> sa.ColumnElement[bool]:
    return sa.and_(
        StaffMember.enrolled_at.is_(None),
        StaffMember.disabled_at.is_(None),
        StaffMember.invited_at > clock.now() - _GOOD_FOR,
    )
