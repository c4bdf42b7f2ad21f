"""What the shield remembers: who is held, and which charges were declined."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base


class ShieldHold(Base):
    """Something that is in force for a while and then ends by itself.

    The key is a mark (see ``marks``) of somebody who may not start gifts, or names what concerns
    everybody: ``site`` while the form asks for proof of work, ``site-off`` while staff forbid that.
    """

    __tablename__ = "shield_hold"

    key: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    since: Mapped[datetime]
    until: Mapped[datetime]
    why: Mapped[str] = mapped_column(sa.String(20))
    refused_before: Mapped[int] = mapped_column(default=0)
    """Of ``site``: what the hour's counters said when it began."""


class Decline(Base):
    """A charge that a bank declined on a payment page, counted once; forgotten after two days."""

    __tablename__ = "decline"

    charge_remote_id: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(sa.String(60))
    """As the bank put it; only staff see it."""
