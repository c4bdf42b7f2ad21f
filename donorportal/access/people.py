"""The two kinds of people who can sign in, and how they are found."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from donorportal.access.models import StaffMember
from donorportal.donors.models import Donor


class Realm(StrEnum):
    """Which door somebody comes through; nothing of one opens the other."""

    DONOR = "donor"
    STAFF = "staff"


class Role(StrEnum):
    """What a staff member is here for."""

    OWNER = "owner"
    FINANCE = "finance"
    EDITOR = "editor"
    SUPPORT = "support"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in."""

    realm: Realm
    id: int
    email: str
    name: str
    role: str | None
    """Of a staff member; None for a donor."""
    login_epoch: int


# Every request of somebody signed in begins with one of these; they are built once.
_Statement = sa.Select[*tuple[Any, ...]]
_DONORS: _Statement = sa.select(
    Donor.id, Donor.email, Donor.name, sa.null().label("role"), Donor.login_epoch
)
_STAFF: _Statement = sa.select(
    StaffMember.id,
    StaffMember.email,
    StaffMember.name,
    StaffMember.role,
    StaffMember.login_epoch,
).where(StaffMember.enrolled_at.is_not(None), StaffMember.disabled_at.is_(None))
_alias = aliased(Donor)
_surviving_id = sa.func.coalesce(_alias.merged_into_id, _alias.id)
_BY_ID = {
    Realm.DONOR: _DONORS.where(
        Donor.id == sa.bindparam("person_id"), Donor.merged_into_id.is_(None)
    ),
    Realm.STAFF: _STAFF.where(StaffMember.id == sa.bindparam("person_id")),
}
_BY_ADDRESS = {
    Realm.DONOR: _DONORS.join(_alias, _surviving_id == Donor.id).where(
        _alias.email_key == sa.bindparam("email_key")
    ),
    Realm.STAFF: _STAFF.where(StaffMember.email_key == sa.bindparam("email_key")),
}


def by_address(session: Session, realm: Realm, email_key: str) -> Person | None:
    """Return who owns an address, or None if nobody may sign in with it.

    A donor is whoever gave; one who was merged into another is that other. A staff member has
    enrolled and is not disabled.
    """
    return _first(session, realm, _BY_ADDRESS, {"email_key": email_key})


def by_id(session: Session, realm: Realm, person_id: int) -> Person | None:
    """Return somebody who may be signed in, or None if no such person may (any more)."""
    return _first(session, realm, _BY_ID, {"person_id": person_id})


def end_sessions(session: Session, realm: Realm, person_id: int) -> None:
    """Sign somebody out of every browser, from their next request on."""
    table = StaffMember if realm == Realm.STAFF else Donor
    session.connection().execute(
        sa.update(table)
        .where(table.id == person_id)
        .values(login_epoch=table.login_epoch + 1)
        .execution_options(synchronize_session=False)
    )


def _first(
    session: Session, realm: Realm, found: dict[Realm, _Statement], by: dict[str, Any]
) -> Person | None:
    row = session.connection().execute(found[realm], by).first()
    return None if row is None else Person(realm, *row)
