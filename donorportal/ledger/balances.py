"""What the accounts hold."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.ledger.models import Posting
from donorportal.money import Money


def balances(session: Session) -> dict[tuple[str, str], Money]:
    """Return the balance of each account and currency, debit positive."""
    rows = session.execute(
        sa.select(Posting.account, Posting.currency, sa.func.sum(Posting.amount_minor))
        .group_by(Posting.account, Posting.currency)
        .order_by(Posting.account, Posting.currency)
    )
    return {(account, code): Money(int(total), code) for account, code, total in rows}
