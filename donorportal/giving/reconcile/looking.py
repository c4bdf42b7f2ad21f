"""Looking at one kind of thing: at a page of a list, or at single objects once more."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sqlalchemy.orm import Session

from donorportal.config import Settings
from donorportal.giving.reconcile import of_gifts, of_money
from donorportal.giving.reconcile.comparing import Found, Seen, Window
from donorportal.giving.reconcile.desk import Desk
from donorportal.giving.reconcile.kinds import ABOUT, Kind
from donorportal.payments.gateway import Gateway, GatewayRejected, Observation
from donorportal.payments.listing import ListedPage, Thing

Compare = Callable[[Session, Seen, Settings], Iterator[Found]]
Missing = Callable[[Session, Window, Seen], list[str]]


class Look(NamedTuple):
    """How one kind of thing is compared.

    Attributes:
        missing: What our books have that the list did not show; None where only the other
            direction says anything.

    """

    compare: Compare
    missing: Missing | None


LOOKS: dict[Thing, Look] = {
    Thing.CHECKOUT: Look(of_gifts.checkouts, None),
    Thing.INVOICE: Look(of_gifts.invoices, None),
    Thing.CHARGE: Look(of_gifts.charges, of_gifts.charges_missing),
    Thing.SUBSCRIPTION: Look(of_gifts.subscriptions, of_gifts.subscriptions_missing),
    Thing.REFUND: Look(of_money.refunds, of_money.refunds_missing),
    Thing.DISPUTE: Look(of_money.disputes, None),
    Thing.PAYOUT: Look(of_money.payouts, of_money.payouts_missing),
    Thing.MOVEMENT: Look(of_money.movements, None),
}


def at_page(  # noqa: PLR0917 - what is looked at, and where it is compared
    desk: Desk,
    gateway: Gateway,
    settings: Settings,
    thing: Thing,
    page: ListedPage,
    window: Window,
    after: str | None,
) -> list[Found]:
    """Return what differs on a page, and what of ours should be on it and is not.

    The window shares its edges with its neighbours; *after* was the last on the page before.
    Whatever differs is read again on its own: a list and our rows are not of the same moment.
    """
    look = LOOKS[thing]
    seen: Seen = {one.remote_id: one for one in page.listed}
    with desk.reading() as session:
        found = list(look.compare(session, seen, settings))
        missing = look.missing(session, window, seen) if look.missing else []
    suspects = dict.fromkeys([one.object_id for one in found] + missing)
    if after is not None:
        suspects.pop(after, None)
    return at_objects(desk, gateway, settings, thing, suspects)


def at_objects(
    desk: Desk, gateway: Gateway, settings: Settings, thing: Thing, ids: Iterable[str]
) -> list[Found]:
    """Read objects by id, and return what differs now."""
    seen: Seen = {one: gateway.listing.one(thing, one) for one in ids}
    if not seen:
        return []
    with desk.reading() as session:
        found = list(LOOKS[thing].compare(session, seen, settings))
    return [_named(desk, gateway, one) for one in found]


def thing_of(kind: Kind, object_id: str) -> Thing | None:
    """Return what has to be read to look at a difference again."""
    if kind is Kind.DISPUTE_UNSEEN and object_id.startswith(("ch_", "py_")):
        return Thing.CHARGE  # A bank debit that came back is a charge that failed.
    return ABOUT[kind].thing


def _named(desk: Desk, gateway: Gateway, found: Found) -> Found:
    """Give a payment that seems foreign its right name, if it is a month of a monthly gift.

    Charges of invoices carry no reference of ours; only the invoice does.
    """
    if found.kind is not Kind.FOREIGN_PAYMENT:
        return found
    try:
        seen = gateway.observe(found.object_id)
    except GatewayRejected:
        return found
    if seen is None or seen.invoice is None or not _is_ours(desk, seen):
        return found
    invoice_id = seen.invoice.remote_id
    says = f"{seen.invoice.amount.exact()} paid"
    return Found(Kind.INVOICE_WITHOUT_GIFT, invoice_id, says, "nothing", look_at=invoice_id)


def _is_ours(desk: Desk, seen: Observation) -> bool:
    subscription_id = seen.subscription.remote_id if seen.subscription else None
    with desk.reading() as session:
        return of_gifts.is_ours(session, subscription_id, seen.reference)
