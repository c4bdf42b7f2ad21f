"""Declines, and the work that the form asks for under attack.

Attempts that nobody paid may be deleted, and with them their history; the database goes on to
refuse the deletion of any other. Whoever rebuilds the table of gifts in SQLite has to drop the
triggers that look at it first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Of each history: the table it belongs to, and which of its rows nobody paid.
_HISTORIES = {
    "gift_event": ("gift", "charge_remote_id IS NULL"),
    "recurring_gift_event": ("recurring_gift", "remote_id IS NULL"),
}
_ABANDONED = sa.text("status = 'abandoned'")


def upgrade() -> None:
    origin = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    for table in ("gift", "recurring_gift"):
        op.add_column(
            table, sa.Column("origin", origin, server_default=sa.text("'{}'"), nullable=False)
        )
    op.create_index(
        "ix_gift_abandoned",
        "gift",
        ["created_at"],
        sqlite_where=_ABANDONED,
        postgresql_where=_ABANDONED,
    )
    op.create_table(
        "shield_hold",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.String(length=20), nullable=False),
        sa.Column("refused_before", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_shield_hold")),
    )
    op.create_table(
        "decline",
        sa.Column("charge_remote_id", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("charge_remote_id", name=op.f("pk_decline")),
    )
    op.create_index(op.f("ix_decline_at"), "decline", ["at"])
    for history in _HISTORIES:
        _let_go_of_unpaid(history)


def downgrade() -> None:
    for history in _HISTORIES:
        _keep_all(history)
    op.drop_table("decline")
    op.drop_table("shield_hold")
    op.drop_index("ix_gift_abandoned", "gift")
    for table in ("gift", "recurring_gift"):
        op.drop_column(table, "origin")


def _let_go_of_unpaid(history: str) -> None:
    table, unpaid = _HISTORIES[history]
    kept = (
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE id = OLD.{table}_id"  # noqa: S608 - no input
        f" AND status = 'abandoned' AND donor_id IS NULL AND {unpaid})"
    )
    trigger = f"{history}_no_delete"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER {trigger}")
        op.execute(
            f"CREATE TRIGGER {trigger} BEFORE DELETE ON {history} WHEN {kept}"
            f" BEGIN SELECT RAISE(ABORT, '{history} is append-only'); END"
        )
        return
    op.execute(f"DROP TRIGGER {trigger} ON {history}")
    op.execute(
        f"CREATE FUNCTION refuse_delete_of_{history}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {kept} THEN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME"
        " USING ERRCODE = 'check_violation'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {trigger} BEFORE DELETE ON {history}"
        f" FOR EACH ROW EXECUTE FUNCTION refuse_delete_of_{history}()"
    )


def _keep_all(history: str) -> None:
    trigger = f"{history}_no_delete"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER {trigger}")
        op.execute(
            f"CREATE TRIGGER {trigger} BEFORE DELETE ON {history}"
            f" BEGIN SELECT RAISE(ABORT, '{history} is append-only'); END"
        )
        return
    op.execute(f"DROP TRIGGER {trigger} ON {history}")
    op.execute(f"DROP FUNCTION refuse_delete_of_{history}()")
    op.execute(
        f"CREATE TRIGGER {trigger} BEFORE DELETE ON {history}"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
