"""What the payment service kept and exchanged: the difference between a gift and its balance."""

from datetime import date

from sqlalchemy.orm import Session

from donorportal.giving.models import Gift
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post
from donorportal.money import Money
from donorportal.payments.returns import Movement


def post_costs(session: Session, gift: Gift, moved: Money, seen: Movement, *, on: date) -> None:
    """Post the fee of one movement, and its exchange when the balance has another currency.

    *moved* is what the movement was for the donor: positive for a charge, negative for a refund.
    With these entries clearing holds, in each currency, what the payment service's balance holds.
    """
    if seen.fee.minor:
        post(
            session,
            source=f"fee:{seen.transaction_id}",
            effective_on=on,
            lines=move(seen.fee, debit=accounts.FEES, credit=accounts.CLEARING),
            detail={"gift": gift.id},
        )
    if seen.amount.currency != moved.currency:
        sold = move(moved, debit=accounts.EXCHANGE, credit=accounts.CLEARING)
        bought = move(seen.amount, debit=accounts.CLEARING, credit=accounts.EXCHANGE)
        post(
            session,
            source=f"exchange:{seen.transaction_id}",
            effective_on=on,
            lines=[*sold, *bought],
            detail={"gift": gift.id},
        )
