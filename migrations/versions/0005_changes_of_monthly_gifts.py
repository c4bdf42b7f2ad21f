"""What donors and staff asked for, and when it was done."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UNDER_WAY = sa.text("state = 'asked' AND action <> 'card'")
_ASKED = sa.text("state = 'asked'")


def upgrade() -> None:
    op.add_column(
        "recurring_gift", sa.Column("resumes_at", sa.DateTime(timezone=True), nullable=True)
    )
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "recurring_change",
        sa.Column("id", big_id, nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("recurring_gift_id", big_id, nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("wanted", json, nullable=False),
        sa.Column("before", json, nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", json, nullable=False),
        sa.CheckConstraint(
            "action IN ('amount', 'designation', 'day', 'card', 'skip', 'pause', 'resume', 'end', 'once')",
            name=op.f("ck_recurring_change_action_known"),
        ),
        sa.CheckConstraint(
            "state IN ('asked', 'done', 'refused')", name=op.f("ck_recurring_change_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'asked') = (finished_at IS NULL)",
            name=op.f("ck_recurring_change_finished_when_no_longer_asked"),
        ),
        sa.ForeignKeyConstraint(
            ["recurring_gift_id"],
            ["recurring_gift.id"],
            name=op.f("fk_recurring_change_recurring_gift_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recurring_change")),
        sa.UniqueConstraint("key", name=op.f("uq_recurring_change_key")),
    )
    op.create_index(
        op.f("ix_recurring_change_recurring_gift_id"), "recurring_change", ["recurring_gift_id"]
    )
    op.create_index(
        "ix_recurring_change_under_way",
        "recurring_change",
        ["recurring_gift_id"],
        unique=True,
        sqlite_where=_UNDER_WAY,
        postgresql_where=_UNDER_WAY,
    )
    op.create_index(
        "ix_recurring_change_asked",
        "recurring_change",
        ["asked_at"],
        sqlite_where=_ASKED,
        postgresql_where=_ASKED,
    )


def downgrade() -> None:
    op.drop_table("recurring_change")
    with op.batch_alter_table("recurring_gift", schema=None) as batch_op:
        batch_op.drop_column("resumes_at")
