"""The jobs that mail what opens a door.

The outbox does not hold codes and links; they are computed at the moment of sending.
"""

import sqlalchemy as sa

from donorportal.access import signing_in, staff_accounts
from donorportal.access.models import SignIn, StaffMember
from donorportal.access.people import Realm
from donorportal.config import Settings
from donorportal.jobs.running import Run
from donorportal.mail.sending import send_message
from donorportal.mail.transport import Transport

_DOORS = {Realm.DONOR: "/sign-in", Realm.STAFF: "/staff/sign-in"}


def mail_sign_in(
    run: Run, settings: Settings, transport: Transport, *, message: int, sign_in: int
) -> None:
    """Send a code and a link, or the word that an address has nothing to sign in to."""
    with run.reading() as session:
        asked = session.execute(
            sa.select(SignIn.realm, SignIn.nonce).where(SignIn.id == sign_in)
        ).one()
    realm = Realm(asked.realm)
    code = signing_in.code_of(settings, asked.nonce)
    door = settings.public_url + _DOORS[realm]
    secrets = {
        "code": f"{code[:4]} {code[4:]}",
        "link": f"{door}/{signing_in.token_of(settings, realm, asked.nonce)}",
        "minutes": int(signing_in.GOOD_FOR.total_seconds() // 60),
        "sign_in_url": door,
    }
    send_message(run, settings, transport, message=message, secrets=secrets)


def mail_invitation(
    run: Run, settings: Settings, transport: Transport, *, message: int, staff: int
) -> None:
    """Send a new staff member the link with which they set up their account."""
    with run.reading() as session:
        salt = session.scalars(
            sa.select(StaffMember.totp_salt).where(StaffMember.id == staff)
        ).one()
    link = staff_accounts.invitation_link(settings, staff, salt or "")
    send_message(run, settings, transport, message=message, secrets={"link": link})
