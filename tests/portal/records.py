"""Gifts written straight into the tables, for tests of what is read from them."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from donorportal.donors.models import Donor
from donorportal.giving import receipts
from donorportal.giving.models import Designation, Gift, RecurringGift
from donorportal.giving.recovery.models import FailedCharge
from donorportal.giving.returns.models import Refund
from donorportal.ledger import accounts
from donorportal.ledger.posting import move, post

_LONG_AGO = datetime(2020, 1, 2, 12, tzinfo=UTC)


def designation(session: Session, code: str = "rescue", name: str = "Rescue") -> str:
    """Write one designation and return its code."""
    session.execute(sa.insert(Designation).values(code=code, name=name))
    return code


def donor(session: Session, email: str = "indigo.loire@example.org", name: str = "Indigo") -> int:
    """Write one donor and return the id."""
    values = {"email": email, "email_key": email, "name": name, "created_at": _LONG_AGO}
    return _written(session, Donor, values)


def gift(session: Session, donor_id: int | None, given_on: date | None, **values: Any) -> int:
    """Write one gift of $50, received on *given_on* or else on its way, and return the id.

    A received gift is in the ledger and has the next receipt number of its year.
    """
    status = "received" if given_on else "pledged"
    dated = {"status": status, "given_on": given_on, "received_at": given_on and _LONG_AGO}
    charge = {"charge_remote_id": f"ch_{uuid4().hex}" if given_on else None}
    gift_id = _written(session, Gift, _asked(donor_id) | dated | charge | values)
    if given_on:
        _book(session, session.get_one(Gift, gift_id))
    return gift_id


def _book(session: Session, gift: Gift) -> None:
    post(
        session,
        source=f"charge:{gift.charge_remote_id}",
        effective_on=gift.given_on or date.min,
        lines=move(gift.amount, debit=accounts.CLEARING, credit=accounts.gifts("rescue")),
    )
    receipts.issue(session, gift)
    if gift.refunded_minor:
        refund = {"amount_minor": gift.refunded_minor, "currency": gift.currency}
        dates = {"refunded_on": gift.given_on, "created_at": _LONG_AGO}
        _written(session, Refund, {"gift_id": gift.id, "status": "succeeded"} | refund | dates)
    session.flush()  # What is read next goes past the session's objects.


def monthly(session: Session, donor_id: int, **values: Any) -> int:
    """Write one active monthly gift of $50 and return the id."""
    return _written(session, RecurringGift, _asked(donor_id) | {"status": "active"} | values)


def failed_charge(session: Session, recurring_gift_id: int, **values: Any) -> int:
    """Write one charge of a monthly gift that the bank did not pay, and return the id."""
    charge = {
        "recurring_gift_id": recurring_gift_id,
        "invoice_remote_id": f"in_{uuid4().hex}",
        "amount_minor": 3000,
        "currency": "USD",
        "failed_at": _LONG_AGO,
        "tries": 1,
        "is_retried": True,
    }
    return _written(session, FailedCharge, charge | values)


def _asked(donor_id: int | None) -> dict[str, Any]:
    return {
        "public_id": uuid4(),
        "key": uuid4(),
        "amount_minor": 5000,
        "currency": "USD",
        "email": "indigo.loire@example.org",
        "designation_code": "rescue",
        "donor_id": donor_id,
        "created_at": _LONG_AGO,
        "checkout_asked_at": _LONG_AGO,
    }


def _written(session: Session, table: Any, values: dict[str, Any]) -> int:
    written = session.execute(sa.insert(table).values(**values).returning(table.id))
    return int(written.scalar_one())
