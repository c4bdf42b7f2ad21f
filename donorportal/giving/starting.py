"""What every installation starts with: designations to choose from and topics to hear about."""

from sqlalchemy.orm import Session

from donorportal.db import upsert
from donorportal.giving.models import Designation
from donorportal.updates.models import Topic

_DESIGNATIONS = (
    (
        "where-needed-most",
        "Where it is needed most",
        "We decide month by month where your gift does the most.",
    ),
    ("rescue", "Rescue", "Finding people who are held against their will, and bringing them out."),
    ("aftercare", "Aftercare", "A safe home, counselling, school and work for people set free."),
    ("justice", "Justice", "Lawyers and investigators who bring cases to court and win them."),
)
_TOPICS = (
    ("stories", "Stories from the field", "About twice a month"),
    ("events", "Events in your area", "A few times a year"),
    ("involved", "Opportunities to get involved", "About once a month"),
)


def base_data(session: Session) -> None:
    """Write the designations and topics that are missing; those that exist are left alone."""
    designations = [
        {"code": code, "name": name, "description": description, "position": position}
        for position, (code, name, description) in enumerate(_DESIGNATIONS)
    ]
    topics = [
        {"code": code, "name": name, "how_often": how_often, "position": position}
        for position, (code, name, how_often) in enumerate(_TOPICS)
    ]
    for table, rows in ((Designation, designations), (Topic, topics)):
        session.execute(
            upsert(session, table).values(rows).on_conflict_do_nothing(index_elements=["code"])
        )
