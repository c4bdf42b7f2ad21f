"""Making a first run useful: invented content, a staff account, and a sandbox that knows us."""

from pathlib import Path

import sqlalchemy as sa

from donorportal import clock, schema
from donorportal.access import staff_accounts
from donorportal.access.models import StaffMember
from donorportal.access.people import Role
from donorportal.config import Settings
from donorportal.db import writing_session
from donorportal.donors.models import Donor
from donorportal.giving import seeding
from donorportal.giving.models import Gift
from donorportal.payments.stripe_gateway import StripeGateway

STAFF_EMAIL = "staff@example.org"
_DONORS, _GIFTS = 200, 3000


def prepare(engine: sa.Engine, settings: Settings) -> None:
    """Migrate, and fill an empty database with invented donors and gifts."""
    schema.upgrade(engine)
    with engine.connect() as connection:
        is_empty = connection.scalar(sa.select(Gift.id).limit(1)) is None
    if is_empty:
        today = clock.local_date(clock.now(), settings.organisation.time_zone)
        seeding.seed(engine, donors=_DONORS, gifts=_GIFTS, seed=1, today=today)


def register(settings: Settings, gateway: StripeGateway, secret: Path) -> None:
    """Make the sandbox send us events; its signing secret is kept in the file *secret*.

    Registering once is enough, unless we moved to another address since.
    """
    address = secret.with_suffix(".for")
    if secret.exists() and address.exists() and address.read_text() == settings.public_url:
        return
    signing = gateway.set_up(
        public_url=settings.public_url, organisation=settings.organisation.name
    )
    secret.touch(mode=0o600)
    secret.write_text(signing)
    address.write_text(settings.public_url)


def staff_invitation(engine: sa.Engine, settings: Settings) -> str | None:
    """Return a link that sets up the demonstration's staff account; None once it is set up."""
    with writing_session(engine) as session:
        enrolled = session.scalar(
            sa.select(StaffMember.enrolled_at).where(StaffMember.email_key == STAFF_EMAIL)
        )
        if enrolled is not None:
            return None
        return staff_accounts.invite(session, settings, STAFF_EMAIL, Role.OWNER, "Demo Owner")


def some_donor(engine: sa.Engine) -> str | None:
    """Return the address of the invented donor with the most gifts, to sign in with."""
    with engine.connect() as connection:
        return connection.scalar(
            sa.select(Donor.email)
            .join(Gift, Gift.donor_id == Donor.id)
            .group_by(Donor.id, Donor.email)
            .order_by(sa.func.count().desc(), Donor.id)
            .limit(1)
        )
