"""Who did what."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, Id


class AuditRecord(Base):
    """One act; the database refuses to change or delete it."""

    __tablename__ = "audit_record"

    id: Mapped[Id]
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(80))
    """``staff:3``, ``donor:12``, ``stripe`` or ``system``."""
    action: Mapped[str] = mapped_column(sa.String(60))
    subject: Mapped[str] = mapped_column(sa.String(80), index=True)
    """What it was done to, for example ``gift:7``."""
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
