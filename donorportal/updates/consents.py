"""Recording that somebody agreed to hear from us."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.db import upsert
from donorportal.donors.addresses import parse_email
from donorportal.updates.models import Consent, Subscriber


def record(session: Session, *, email: str, given: Mapping[str, Any], source: str) -> None:
    """Append a consent for each topic that was ticked.

    *given* holds ``topics``, the version of the ``wording``, the time ``at`` which the boxes were
    sent and the ``network`` they were sent from. The address is not confirmed by this: its owner
    still has to, before anything is sent. Recording the same source again adds nothing.
    """
    if not given.get("topics"):
        return
    address = parse_email(email)
    session.execute(
        upsert(session, Subscriber)
        .values(email=address.email, email_key=address.key, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=["email_key"])
    )
    subscriber_id = session.scalar(
        sa.select(Subscriber.id).where(Subscriber.email_key == address.key)
    )
    session.execute(
        upsert(session, Consent)
        .values(
            [
                {
                    "subscriber_id": subscriber_id,
                    "topic_code": topic,
                    "granted": True,
                    "at": datetime.fromisoformat(given["at"]),
                    "source": source,
                    "wording_version": given["wording"],
                    "legal_basis": "consent",
                    "address_prefix": given["network"],
                }
                for topic in given["topics"]
            ]
        )
        .on_conflict_do_nothing(index_elements=["subscriber_id", "topic_code", "source"])
    )
