"""Payouts to the bank, and sums of the accounts that need no scan."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LIST = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_CONCERN = sa.text("concern IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "payout",
        sa.Column("id", _ID, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrives_on", sa.Date(), nullable=False),
        sa.Column("failure", sa.String(length=60), nullable=True),
        sa.Column("has_lines", sa.Boolean(), nullable=False),
        sa.Column("last_line", sa.String(length=255), nullable=True),
        sa.Column("lines_minor", sa.BigInteger(), nullable=True),
        sa.Column("concern", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
        sa.UniqueConstraint("remote_id", name=op.f("uq_payout_remote_id")),
    )
    op.create_index("ix_payout_arrives", "payout", ["arrives_on", "id"])
    op.create_index(
        "ix_payout_concern", "payout", ["id"], sqlite_where=_CONCERN, postgresql_where=_CONCERN
    )
    op.create_table(
        "payout_line",
        sa.Column("id", _ID, nullable=False),
        sa.Column("payout_id", _ID, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("source_id", sa.String(length=255), nullable=True),
        sa.Column("gift_id", _ID, nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("concern", sa.String(length=200), nullable=True),
        sa.CheckConstraint(
            "net_minor = gross_minor - fee_minor", name=op.f("ck_payout_line_net_is_what_is_left")
        ),
        sa.ForeignKeyConstraint(["gift_id"], ["gift.id"], name=op.f("fk_payout_line_gift_id")),
        sa.ForeignKeyConstraint(
            ["payout_id"], ["payout.id"], name=op.f("fk_payout_line_payout_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_line")),
        sa.UniqueConstraint("remote_id", name=op.f("uq_payout_line_remote_id")),
    )
    op.create_index(op.f("ix_payout_line_gift_id"), "payout_line", ["gift_id"])
    op.create_index("ix_payout_line_payout", "payout_line", ["payout_id", "id"])
    op.create_index(
        "ix_payout_line_concern",
        "payout_line",
        ["payout_id"],
        sqlite_where=_CONCERN,
        postgresql_where=_CONCERN,
    )
    op.create_table(
        "account_sum",
        sa.Column("account", sa.String(length=80), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "currency", "month", name=op.f("pk_account_sum")),
    )
    op.create_table(
        "ledger_mark",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("entry_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ledger_mark")),
    )
    op.create_table(
        "ledger_halt",
        sa.Column("id", _ID, nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=True),
        sa.Column("findings", _LIST, nullable=False),
        sa.Column("halted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=80), nullable=True),
        sa.CheckConstraint(
            "standing IS NULL OR lifted_at IS NULL", name=op.f("ck_ledger_halt_standing_or_lifted")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_halt")),
        sa.UniqueConstraint("standing", name=op.f("uq_ledger_halt_standing")),
    )
    # Sums of an account's postings after a mark, and of all of them, from the index alone.
    op.create_index(
        "ix_posting_account", "posting", ["account", "currency", "entry_id", "amount_minor"]
    )
    op.drop_index("ix_posting_balance", table_name="posting")
    op.create_index("ix_entry_effective", "entry", ["effective_on", "id"])


def downgrade() -> None:
    op.drop_index("ix_entry_effective", table_name="entry")
    op.create_index("ix_posting_balance", "posting", ["account", "currency", "amount_minor"])
    op.drop_index("ix_posting_account", table_name="posting")
    for table in ("ledger_halt", "ledger_mark", "account_sum", "payout_line", "payout"):
        op.drop_table(table)
