"""What comparing our books with Stripe came to."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_STATES = "'open', 'person', 'repaired', 'explained', 'gone'"
_RECEIVED = sa.text("status = 'received'")


def upgrade() -> None:
    op.create_table(
        "reconcile_run",
        sa.Column("id", _ID, nullable=False),
        sa.Column("standing", sa.Boolean(), nullable=True),
        sa.Column("owner", sa.String(length=36), nullable=True),
        sa.Column("pulse_at", _TIME, nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("repairs", sa.Boolean(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("since", _TIME, nullable=True),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("after", sa.String(length=255), nullable=True),
        sa.Column("reached", _TIME, nullable=True),
        sa.Column("steps_done", sa.Integer(), nullable=False),
        sa.Column("walked", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("repaired", sa.Integer(), nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("left", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconcile_run")),
        sa.UniqueConstraint("standing", name=op.f("uq_reconcile_run_standing")),
    )
    op.create_index("ix_reconcile_run_finished", "reconcile_run", ["finished_at"])
    op.create_table(
        "reconcile_mark",
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("walked_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("step", name=op.f("pk_reconcile_mark")),
    )
    op.create_table(
        "reconcile_day",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "currency", name=op.f("pk_reconcile_day")),
    )
    op.create_table(
        "reconcile_difference",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("gift_id", _ID, nullable=True),
        sa.Column("expected", sa.String(length=200), nullable=False),
        sa.Column("found", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.Column("found_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("closed_by", sa.String(length=80), nullable=True),
        sa.CheckConstraint(
            f"state IN ({_STATES})", name=op.f("ck_reconcile_difference_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["gift_id"], ["gift.id"], name=op.f("fk_reconcile_difference_gift_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconcile_difference")),
        sa.UniqueConstraint("kind", "object_id", name="uq_reconcile_difference_once"),
    )
    op.create_index("ix_reconcile_difference_state", "reconcile_difference", ["state", "id"])
    op.create_index(
        "ix_gift_received",
        "gift",
        ["received_at"],
        sqlite_where=_RECEIVED,
        postgresql_where=_RECEIVED,
    )
    op.create_index("ix_recurring_gift_begun", "recurring_gift", ["started_at"])


def downgrade() -> None:
    op.drop_index("ix_recurring_gift_begun", table_name="recurring_gift")
    op.drop_index("ix_gift_received", table_name="gift")
    for table in ("reconcile_difference", "reconcile_day", "reconcile_mark", "reconcile_run"):
        op.drop_table(table)
