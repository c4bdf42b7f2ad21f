"""Donors: the people and organisations that give."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, BigId, Id


class Donor(Base):
    """Somebody who gave, known by an e-mail address."""

    __tablename__ = "donor"

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(254), unique=True)
    """The address in the form in which two spellings of it are equal."""
    name: Mapped[str] = mapped_column(sa.String(200), default="")
    login_epoch: Mapped[int] = mapped_column(default=0)
    """Sessions carry this number; raising it ends them all."""
    created_at: Mapped[datetime]
    merged_into_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("donor.id"))
