"""History is append-only, and an entry balances.

The database itself refuses to change or delete what happened, refuses an entry whose postings do
not sum to zero in each currency, and refuses further postings to an entry that exists.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HISTORY = (
    "entry",
    "posting",
    "audit_record",
    "gift_event",
    "recurring_gift_event",
    "consent",
)
_UNBALANCED = """
    NOT EXISTS (SELECT 1 FROM posting WHERE entry_id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM posting WHERE entry_id = NEW.id
        GROUP BY currency HAVING sum(amount_minor) <> 0
    )
"""
_CLOSED = "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id)"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgres()


def downgrade() -> None:
    on_postgres = op.get_bind().dialect.name != "sqlite"
    triggers = [("entry", "entry_balances"), ("posting", "posting_entry_open")]
    triggers += [
        (table, f"{table}_no_{verb}")
        for table in _HISTORY
        for verb in ("update", "delete", *(("truncate",) if on_postgres else ()))
    ]
    for table, trigger in triggers:
        op.execute(f"DROP TRIGGER {trigger}" + (f" ON {table}" if on_postgres else ""))
    if on_postgres:
        op.execute("DROP SEQUENCE entry_id_seq")
        for function in ("refuse_change", "refuse_unbalanced", "refuse_closed"):
            op.execute(f"DROP FUNCTION {function}()")


def _guard_sqlite() -> None:
    def guard(name: str, when: str, message: str) -> None:
        op.execute(f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END")

    for table in _HISTORY:
        for verb in ("update", "delete"):
            guard(f"{table}_no_{verb}", f"BEFORE {verb} ON {table}", f"{table} is append-only")
    guard("entry_balances", f"BEFORE INSERT ON entry WHEN {_UNBALANCED}", "entry does not balance")
    guard("posting_entry_open", f"BEFORE INSERT ON posting WHEN {_CLOSED}", "entry is closed")


def _guard_postgres() -> None:
    op.execute("CREATE SEQUENCE entry_id_seq OWNED BY entry.id")

    def function(name: str, condition: str, message: str) -> None:
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {condition} THEN RAISE EXCEPTION {message} USING ERRCODE = 'check_violation';"
            " END IF; RETURN NEW; END $$"
        )

    function("refuse_change", "true", "'% is append-only', TG_TABLE_NAME")
    function("refuse_unbalanced", _UNBALANCED, "'entry does not balance'")
    function("refuse_closed", _CLOSED, "'entry is closed'")
    for table in _HISTORY:
        for verb in ("update", "delete", "truncate"):
            scope = "STATEMENT" if verb == "truncate" else "ROW"
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
                f" FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
            )
    op.execute(
        "CREATE TRIGGER entry_balances BEFORE INSERT ON entry"
        " FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced()"
    )
    op.execute(
        "CREATE TRIGGER posting_entry_open BEFORE INSERT ON posting"
        " FOR EACH ROW EXECUTE FUNCTION refuse_closed()"
    )
