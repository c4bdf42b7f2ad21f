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


def by_address(session: Session, realm: Realm, email_key: str) -> Person | None:
    """Return who owns an address, or None if nobody may sign in with it.

    A donor is whoever gave; one who was merged into another is that other. A staff member has
    enrolled and is not disabled.
    """
    if realm == Realm.STAFF:
        return _first(session, realm, _staff().where(StaffMember.email_key == email_key))
    alias = aliased(Donor)
    surviving = sa.func.coalesce(alias.merged_into_id, alias.id)
    found = _donors().join(alias, surviving == Donor.id).where(alias.email_key == email_key)
    return _first(session, realm, found)


def by_id(session: Session, realm: Realm, person_id: int) -> Person | None:
    """Return somebody who may be signed in, or None if no such person may (any more)."""
    if realm == Realm.STAFF:
        return _first(session, realm, _staff().where(StaffMember.id == person_id))
    found = _donors().where(Donor.id == person_id, Donor.merged_into_id.is_(None))
    return _first(session, realm, found)


def end_sessions(session: Session, realm: Realm, person_id: int) -> None:
    """Sign somebody out of every browser, from their next request on."""
    table = StaffMember if realm == Realm.STAFF else Donor
    session.connection().execute(
        sa.update(table)
        .where(table.id == person_id)
        .values(login_epoch=table.login_epoch + 1)
        .execution_options(synchronize_session=False)
    )


def _donors() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(Donor.id, Donor.email, Donor.name, Donor.login_epoch, sa.null().label("role"))


def _staff() -> sa.Select[*tuple[Any, ...]]:
    return sa.select(
        StaffMember.id,
        StaffMember.email,
        StaffMember.name,
        StaffMember.login_epoch,
        StaffMember.role,
    ).where(StaffMember.enrolled_at.is_not(None), StaffMember.disabled_at.is_(None))


def _first(session: Session, realm: Realm, found: sa.Select[*tuple[Any, ...]]) -> Person | None:
    row = session.connection().execute(found).mappings().first()
    return None if row is None else Person(realm=realm, **row)
