"""Counters of attempts."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base


class RateCount(Base):
    """How often something happened in one window of time."""

    __tablename__ = "rate_count"

    key: Mapped[str] = mapped_column(sa.String(160), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    count: Mapped[int]
