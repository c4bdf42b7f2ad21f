"""What the accounts hold."""

from sqlalchemy.orm import Session

from donorportal.ledger import sums
from donorportal.money import Money


def balances(session: Session) -> dict[tuple[str, str], Money]:
    """Return the balance of each account and currency, debit positive."""
    found = sums.totals(session.connection())
    return {(account, code): Money(found[account, code], code) for account, code in sorted(found)}
