"""Staff members and requests to sign in.

Neither table holds a secret: codes, links and authenticator keys are computed from a random
column and SECRET_KEY (see `access.purposes`), so a copy of the database opens nothing.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id


class StaffMember(Base):
    """Somebody who works in the back office."""

    __tablename__ = "staff_member"

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(254), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200), default="")
    role: Mapped[str] = mapped_column(sa.String(20))
    totp_salt: Mapped[str | None] = mapped_column(sa.String(32))
    """What the authenticator key and the invitation are computed from; new in each invitation."""
    totp_last_step: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """The last time step accepted: a code opens the door once."""
    login_epoch: Mapped[int] = mapped_column(default=0)
    """Sessions carry this number; raising it ends them all."""
    invited_at: Mapped[datetime]
    enrolled_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]


class SignIn(Base):
    """One request to sign in by e-mail: a code and a link, good for one use in one browser."""

    __tablename__ = "sign_in"

    id: Mapped[Id]
    realm: Mapped[str] = mapped_column(sa.String(10))
    """``donor`` or ``staff``; a code of one never opens the other."""
    email_key: Mapped[str] = mapped_column(sa.String(254), index=True)
    nonce: Mapped[str] = mapped_column(sa.String(32), unique=True)
    """What the code and the link are computed from."""
    browser_hash: Mapped[str] = mapped_column(sa.String(64), index=True)
    """Hash of a cookie that only the asking browser has."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[datetime | None]
