"""Money that goes back: refunds that can fail, disputes, and warnings of fraud."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_REF = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("gift", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("lost_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        )
        batch_op.add_column(
            sa.Column(
                "disputed_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
            )
        )
        batch_op.add_column(sa.Column("balance_remote_id", sa.String(length=255), nullable=True))
        batch_op.create_index(
            "ix_gift_look",
            ["id"],
            unique=False,
            sqlite_where=sa.text("needs_look IS NOT NULL"),
            postgresql_where=sa.text("needs_look IS NOT NULL"),
        )
        batch_op.drop_constraint(batch_op.f("ck_gift_refund_within_gift"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_gift_returned_within_gift"),
            "refunded_minor >= 0 AND lost_minor >= 0 AND refunded_minor + lost_minor <= amount_minor",
        )
    with op.batch_alter_table("refund", schema=None) as batch_op:
        batch_op.add_column(sa.Column("key", sa.Uuid(), nullable=True))
        batch_op.add_column(
            sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False)
        )
        batch_op.add_column(
            sa.Column("actor", sa.String(length=80), server_default="stripe", nullable=False)
        )
        batch_op.add_column(sa.Column("balance_remote_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("failure_remote_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("failure", sa.String(length=120), nullable=True))
        batch_op.add_column(sa.Column("failed_on", sa.Date(), nullable=True))
        batch_op.alter_column(
            "reason", existing_type=sa.String(length=60), type_=sa.String(length=200)
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_refund_status_known"),
            "status IN ('asked', 'pending', 'succeeded', 'failed', 'canceled')",
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_refund_asked_with_key"), "status <> 'asked' OR key IS NOT NULL"
        )
        batch_op.create_index("ix_refund_key", ["key"], unique=True)
        batch_op.create_index(
            "ix_refund_asked",
            ["created_at"],
            unique=False,
            sqlite_where=sa.text("status = 'asked'"),
            postgresql_where=sa.text("status = 'asked'"),
        )
    op.create_table(
        "dispute",
        sa.Column("id", _REF, nullable=False),
        sa.Column("gift_id", _REF, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("remote_status", sa.String(length=40), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("respond_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lost_minor", sa.BigInteger(), nullable=False),
        sa.Column("excess_minor", sa.BigInteger(), nullable=False),
        sa.Column("cleared_minor", sa.BigInteger(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_dispute_amount_positive")),
        sa.CheckConstraint("lost_minor >= 0", name=op.f("ck_dispute_lost_not_negative")),
        sa.ForeignKeyConstraint(["gift_id"], ["gift.id"], name=op.f("fk_dispute_gift_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute")),
        sa.UniqueConstraint("remote_id", name=op.f("uq_dispute_remote_id")),
    )
    op.create_index("ix_dispute_gift_id", "dispute", ["gift_id"])
    op.create_table(
        "dispute_movement",
        sa.Column("id", _REF, nullable=False),
        sa.Column("dispute_id", _REF, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("moved_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dispute_id"], ["dispute.id"], name=op.f("fk_dispute_movement_dispute_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute_movement")),
        sa.UniqueConstraint("remote_id", name=op.f("uq_dispute_movement_remote_id")),
    )
    op.create_index("ix_dispute_movement_dispute_id", "dispute_movement", ["dispute_id"])
    op.create_table(
        "fraud_warning",
        sa.Column("id", _REF, nullable=False),
        sa.Column("gift_id", _REF, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refund_key", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["gift_id"], ["gift.id"], name=op.f("fk_fraud_warning_gift_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fraud_warning")),
        sa.UniqueConstraint("remote_id", name=op.f("uq_fraud_warning_remote_id")),
    )
    op.create_index("ix_fraud_warning_gift_id", "fraud_warning", ["gift_id"])
    op.create_table(
        "gift_task",
        sa.Column("id", _REF, nullable=False),
        sa.Column("gift_id", _REF, nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("text", sa.String(length=300), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.String(length=80), nullable=True),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(["gift_id"], ["gift.id"], name=op.f("fk_gift_task_gift_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gift_task")),
        sa.UniqueConstraint("key", name=op.f("uq_gift_task_key")),
    )
    op.create_index("ix_gift_task_gift_id", "gift_task", ["gift_id"])
    op.create_index(
        "ix_gift_task_open",
        "gift_task",
        ["id"],
        unique=False,
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("gift_task", "fraud_warning", "dispute_movement", "dispute"):
        op.drop_table(table)
    # Before there were these, a refund was only known once it had succeeded.
    op.execute("DELETE FROM refund WHERE status <> 'succeeded'")
    with op.batch_alter_table("refund", schema=None) as batch_op:
        batch_op.drop_index("ix_refund_asked")
        batch_op.drop_index("ix_refund_key")
        batch_op.drop_constraint(batch_op.f("ck_refund_asked_with_key"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_refund_status_known"), type_="check")
        batch_op.drop_column("failed_on")
        batch_op.drop_column("failure_remote_id")
        batch_op.drop_column("balance_remote_id")
        batch_op.drop_column("failure")
        batch_op.drop_column("actor")
        batch_op.drop_column("attempt")
        batch_op.drop_column("key")
        batch_op.alter_column(
            "reason", existing_type=sa.String(length=200), type_=sa.String(length=60)
        )
    with op.batch_alter_table("gift", schema=None) as batch_op:
        batch_op.drop_index("ix_gift_look")
        batch_op.drop_column("balance_remote_id")
        batch_op.drop_constraint(batch_op.f("ck_gift_returned_within_gift"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_gift_refund_within_gift"),
            "refunded_minor >= 0 AND refunded_minor <= amount_minor",
        )
        batch_op.drop_column("disputed_minor")
        batch_op.drop_column("lost_minor")
