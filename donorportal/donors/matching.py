"""Finding the donor to whom an address belongs."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import upsert
from donorportal.donors.addresses import Address
from donorportal.donors.models import Donor


def find_or_create(session: Session, address: Address, name: str) -> int:
    """Return the id of the donor with this address, who is created when new.

    A known donor's name is left alone: anybody can type somebody else's address. A donor who was
    merged into another answers with the other's id.
    """
    session.execute(
        upsert(session, Donor)
        .values(email=address.email, email_key=address.key, name=name, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=["email_key"])
    )
    row = session.execute(
        sa.select(Donor.id, Donor.merged_into_id).where(Donor.email_key == address.key)
    ).one()
    return int(row.merged_into_id or row.id)
