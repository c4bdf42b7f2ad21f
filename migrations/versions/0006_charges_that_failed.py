"""Where a monthly gift stands whose charge did not go through."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNFINISHED = sa.text("finished_at IS NULL")
_BEFORE = "'started', 'active', 'past_due', 'paused', 'ended', 'abandoned', 'unknown'"
_AFTER = "'started', 'active', 'past_due', 'paused', 'ended', 'lapsed', 'abandoned', 'unknown'"


def upgrade() -> None:
    with op.batch_alter_table("recurring_gift", schema=None) as batch_op:
        batch_op.add_column(sa.Column("card_remote_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("card_exp_month", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("card_exp_year", sa.Integer(), nullable=True))
        batch_op.drop_constraint(batch_op.f("ck_recurring_gift_status_known"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_recurring_gift_status_known"), f"status IN ({_AFTER})"
        )
        batch_op.create_index("ix_recurring_gift_card", ["card_remote_id"], unique=False)
        batch_op.create_index(
            "ix_recurring_gift_expiry", ["card_exp_year", "card_exp_month"], unique=False
        )
    op.create_table(
        "failed_charge",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("recurring_gift_id", _BIG_ID, nullable=False),
        sa.Column("invoice_remote_id", sa.String(length=255), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_retried", sa.Boolean(), nullable=False),
        sa.Column("pay_url", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_failed_charge_amount_positive")),
        sa.CheckConstraint(
            "(state = 'open') = (closed_at IS NULL)",
            name=op.f("ck_failed_charge_open_until_closed"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'recovered', 'given_up', 'withdrawn')",
            name=op.f("ck_failed_charge_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["recurring_gift_id"],
            ["recurring_gift.id"],
            name=op.f("fk_failed_charge_recurring_gift_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_charge")),
        sa.UniqueConstraint("invoice_remote_id", name=op.f("uq_failed_charge_invoice_remote_id")),
    )
    op.create_index(
        op.f("ix_failed_charge_recurring_gift_id"), "failed_charge", ["recurring_gift_id"]
    )
    op.create_index("ix_failed_charge_state", "failed_charge", ["state", "failed_at"])
    op.create_table(
        "charge_try",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("failed_charge_id", _BIG_ID, nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('paid', 'under_way', 'unpaid', 'withdrawn')",
            name=op.f("ck_charge_try_outcome_known"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (finished_at IS NULL)",
            name=op.f("ck_charge_try_outcome_when_finished"),
        ),
        sa.ForeignKeyConstraint(
            ["failed_charge_id"],
            ["failed_charge.id"],
            name=op.f("fk_charge_try_failed_charge_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_try")),
        sa.UniqueConstraint("key", name=op.f("uq_charge_try_key")),
    )
    op.create_index("ix_charge_try_charge", "charge_try", ["failed_charge_id", "asked_at"])
    op.create_index(
        "ix_charge_try_asked",
        "charge_try",
        ["asked_at"],
        sqlite_where=_UNFINISHED,
        postgresql_where=_UNFINISHED,
    )


def downgrade() -> None:
    op.drop_table("charge_try")
    op.drop_table("failed_charge")
    # What had lapsed was called ended before there was a word for it.
    op.execute("UPDATE recurring_gift SET status = 'ended' WHERE status = 'lapsed'")
    with op.batch_alter_table("recurring_gift", schema=None) as batch_op:
        batch_op.drop_index("ix_recurring_gift_expiry")
        batch_op.drop_index("ix_recurring_gift_card")
        batch_op.drop_constraint(batch_op.f("ck_recurring_gift_status_known"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_recurring_gift_status_known"), f"status IN ({_BEFORE})"
        )
        batch_op.drop_column("card_exp_year")
        batch_op.drop_column("card_exp_month")
        batch_op.drop_column("card_remote_id")
