"""The chart of accounts.

Debits are positive. A gift raises what Stripe holds for us (debit clearing) and our income
(credit gifts); a fee raises our costs and lowers what Stripe holds.
"""

CLEARING = "clearing:stripe"
"""What Stripe holds for us until it is paid out."""
FEES = "fees:stripe"
"""What card payments cost us."""
EXCHANGE = "exchange:stripe"
"""Between the currency of a gift and the currency in which Stripe credits it."""

DISPUTED = "disputed:stripe"
"""What donors' banks have taken back and not yet decided about."""
LOSSES = "losses:stripe"
"""What banks took beyond a gift: money that had been refunded before."""

BANK = "bank"
"""Our bank account, from the moment at which Stripe sends a payout to it."""


def other(kind: str) -> str:
    """Return the account of a kind of movement at Stripe that follows from no gift."""
    return f"other:stripe:{kind[:60]}"


def gifts(designation_code: str) -> str:
    """Return the income account of a designation."""
    return f"gifts:{designation_code}"
