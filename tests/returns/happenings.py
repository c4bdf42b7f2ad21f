"""What the tests of money that goes back share: gifts, banks that misbehave, and the books."""

from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from donorportal.db import reading_session, writing_session
from donorportal.giving.models import Gift
from donorportal.giving.returns.asking import RefundAsked, ask_refund, carry_out, settle_refund
from donorportal.ledger.balances import balances
from donorportal.ledger.models import Entry
from donorportal.money import Money
from tests.portal_in_process import Portal


def given(portal: Portal, amount: str = "50", **fields: Any) -> Gift:
    """Give once and let everything that follows happen; return the gift."""
    portal.give(amount=amount, **fields)
    portal.send_all()
    return the_gift(portal)


def the_gift(portal: Portal) -> Gift:
    """Return the newest gift as it is now."""
    gift: Gift = portal.scalars(sa.select(Gift).order_by(Gift.id.desc()).limit(1))[0]
    return gift


def ask(
    portal: Portal, gift: Gift, minor: int | None = None, *, key: UUID | None = None
) -> RefundAsked:
    """Store that a refund is asked for."""
    amount = None if minor is None else Money(minor, gift.currency)
    with writing_session(portal.engine) as session:
        return ask_refund(
            session, gift.id, amount, key=key or uuid4(), actor="staff:1", reason="a test"
        )


def refund(portal: Portal, gift: Gift, minor: int | None = None) -> RefundAsked:
    """Ask for a refund, let Stripe make it, and book it."""
    asked = ask(portal, gift, minor)
    seen = carry_out(portal.gateway, asked)
    with writing_session(portal.engine) as session:
        settle_refund(session, asked, seen, settings=portal.settings)
    return asked


def refund_in_dashboard(portal: Portal, gift: Gift, minor: int) -> str:
    """Send money back as staff can at Stripe, past us; return the refund's id."""
    made = portal.gateway._client.v1.refunds.create(
        {"payment_intent": gift.payment_remote_id or "", "amount": minor},
        {"idempotency_key": str(uuid4())},
    )
    return made.id


def disputed(portal: Portal, gift: Gift, **how: Any) -> str:
    """Let the donor's bank dispute a gift; return the dispute's id."""
    dispute = portal.sandbox.post("disputes", charge=gift.charge_remote_id, **how)
    return str(dispute["id"])


def books(portal: Portal) -> dict[str, int]:
    """Return what each account holds, in minor units; accounts in other currencies are named so."""
    with reading_session(portal.engine) as session:
        found = balances(session)
    return {
        account if money.currency == "USD" else f"{account} {money.currency}": money.minor
        for (account, _), money in found.items()
        if money.minor
    }


def sources(portal: Portal) -> list[str]:
    """Return the kinds of entries there are, in the order in which they were posted."""
    found = portal.scalars(sa.select(Entry.source).order_by(Entry.id))
    return [source.partition(":")[0] for source in found]


def stripe_holds(portal: Portal) -> dict[str, int]:
    """Return what Stripe's balance has, for each currency, by its own movements."""
    sums: dict[str, int] = {}
    for movement in portal.sandbox.listed("balance_transactions"):
        code = movement["currency"].upper()
        sums[code] = sums.get(code, 0) + movement["net"]
    return {code: net for code, net in sums.items() if net}


def clearing(portal: Portal) -> dict[str, int]:
    """Return what our books say Stripe holds, for each currency."""
    with reading_session(portal.engine) as session:
        found = balances(session)
    return {
        code: money.minor
        for (account, code), money in found.items()
        if account == "clearing:stripe" and money.minor
    }
