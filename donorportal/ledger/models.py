"""Entries and postings, their sums, and times in which nothing is posted.

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

    __table_args__ = (sa.Index("ix_entry_effective", "effective_on", "id"),)


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
        sa.Index("ix_posting_account", "account", "currency", "entry_id", "amount_minor"),
    )


class AccountSum(Base):
    """What was posted to an account in one month of business dates, up to the mark of the sums.

    Nobody who posts touches these rows: a job rolls them forward behind the postings.
    """

    __tablename__ = "account_sum"

    account: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    currency: Mapped[str] = mapped_column(sa.String(3), primary_key=True)
    month: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Months since the year 0: 2026-11 is 2026 * 12 + 10."""
    total_minor: Mapped[Minor]


class LedgerMark(Base):
    """The last entry up to which something was done with all entries."""

    __tablename__ = "ledger_mark"

    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    entry_id: Mapped[int] = mapped_column(BigId, default=0)


class LedgerHalt(Base):
    """A time in which nothing is posted, because the books were found to be wrong."""

    __tablename__ = "ledger_halt"

    id: Mapped[Id]
    standing: Mapped[bool | None] = mapped_column(unique=True)
    """True until it is lifted, then nothing: at most one stands."""
    findings: Mapped[list[str]]
    halted_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(sa.String(80))

    __table_args__ = (
        sa.CheckConstraint("standing IS NULL OR lifted_at IS NULL", name="standing_or_lifted"),
    )
