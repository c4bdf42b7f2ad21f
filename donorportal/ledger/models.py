"""Entries and postings.

An entry is a balanced group of postings. It is written after its postings: the database refuses
an entry whose postings do not sum to zero in each currency, and refuses postings to an entry that
exists. Neither is ever changed or deleted; mistakes are corrected by further entries.
"""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from donorportal.db import Base, BigId, Id, Minor


class Entry(Base):
    """One event in the books."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(sa.String(255), unique=True)
    """What caused it, for example ``charge:ch_123``; the same cause cannot be posted twice."""
    effective_on: Mapped[date]
    """The business date, in the organisation's time zone."""
    posted_at: Mapped[datetime]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Posting(Base):
    """One line of an entry: minor units, debit positive and credit negative."""

    __tablename__ = "posting"

    id: Mapped[Id]
    entry_id: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("entry.id", deferrable=True, initially="DEFERRED")
    )
    account: Mapped[str] = mapped_column(sa.String(80))
    currency: Mapped[str] = mapped_column(sa.String(3))
    amount_minor: Mapped[Minor]

    __table_args__ = (
        sa.UniqueConstraint("entry_id", "account", "currency"),
        sa.CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        sa.Index("ix_posting_balance", "account", "currency", "amount_minor"),
    )
