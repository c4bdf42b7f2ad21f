"""Who may hear from us, about what, and how we know."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id, Ref


class Topic(Base):
    """Something people can ask to hear about."""

    __tablename__ = "topic"

    code: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    how_often: Mapped[str] = mapped_column(sa.String(80))
    position: Mapped[int] = mapped_column(default=0)


class Subscriber(Base):
    """An address that asked to hear from us."""

    __tablename__ = "subscriber"

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(sa.String(254))
    email_key: Mapped[str] = mapped_column(sa.String(254), unique=True)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    """When the owner of the mailbox confirmed; nothing is sent before that."""


class Consent(Base):
    """The dated evidence that an address agreed or withdrew; never changed afterwards."""

    __tablename__ = "consent"

    id: Mapped[Id]
    subscriber_id: Mapped[Ref] = mapped_column(sa.ForeignKey("subscriber.id"), index=True)
    topic_code: Mapped[str] = mapped_column(sa.ForeignKey("topic.code"))
    granted: Mapped[bool]
    at: Mapped[datetime]
    source: Mapped[str] = mapped_column(sa.String(120))
    """Where it was said, for example the giving form and which gift."""
    wording_version: Mapped[str] = mapped_column(sa.String(20))
    legal_basis: Mapped[str] = mapped_column(sa.String(20))
    address_prefix: Mapped[str | None] = mapped_column(sa.String(45))
    """The network the person came from, not the full address."""

    __table_args__ = (sa.UniqueConstraint("subscriber_id", "topic_code", "source"),)
