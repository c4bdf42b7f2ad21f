"""Every kind of difference: its name, the sentence for it, and what repairs it."""

from enum import StrEnum
from typing import NamedTuple

from donorportal.payments.listing import Thing


class Repair(StrEnum):
    """What can be done about a difference."""

    SETTLE = "settle"
    """Read it again and book it as a webhook would."""
    BOOK = "book"
    """Post a movement that belongs to no gift."""
    CORRECT = "correct"
    """Post the missing part, or the reverse of what is too much; the rule leaves no choice."""
    RECEIPT = "receipt"
    READ_LINES = "read lines"
    PERSON = "person"
    """Nothing by itself: a person has to look."""


class Kind(StrEnum):
    """How the payment service and our books can differ."""

    PAYMENT_WITHOUT_GIFT = "payment without gift"
    FOREIGN_PAYMENT = "foreign payment"
    GIFT_WITHOUT_PAYMENT = "gift without payment"
    DUPLICATE_GIFT = "duplicate gift"
    WRONG_AMOUNT = "wrong amount"
    WRONG_CURRENCY = "wrong currency"
    GIFT_NOT_RECEIVED = "gift not received"
    GIFT_NOT_PLEDGED = "gift not pledged"
    GIFT_NOT_PAID = "gift not paid"
    PLEDGE_FAILED = "pledge failed"
    CHECKOUT_CLOSED = "checkout closed"
    CHECKOUT_UNSEEN = "checkout unseen"
    INVOICE_WITHOUT_GIFT = "invoice without gift"
    SUBSCRIPTION_UNSEEN = "subscription unseen"
    FOREIGN_SUBSCRIPTION = "foreign subscription"
    SUBSCRIPTION_GONE = "subscription gone"
    MONTHLY_STATUS = "monthly status"
    MONTHLY_AMOUNT = "monthly amount"
    MONTHLY_DATE = "monthly date"
    REFUND_UNSEEN = "refund unseen"
    REFUND_AMOUNT = "refund amount"
    REFUND_STATUS = "refund status"
    REFUND_GONE = "refund gone"
    DISPUTE_UNSEEN = "dispute unseen"
    DISPUTE_STATUS = "dispute status"
    DISPUTE_GONE = "dispute gone"
    PAYOUT_UNSEEN = "payout unseen"
    PAYOUT_STATUS = "payout status"
    PAYOUT_AMOUNT = "payout amount"
    PAYOUT_LINES = "payout lines"
    PAYOUT_GONE = "payout gone"
    NOT_BOOKED = "not booked"
    NOT_BOOKED_OTHER = "not booked, no gift"
    DISPUTE_NOT_BOOKED = "dispute not booked"
    FEE_MISSING = "fee missing"
    FEE_WRONG = "fee wrong"
    BOOKED_WRONG = "booked wrong"
    ENTRY_WITHOUT_MOVEMENT = "entry without movement"
    COST_WITHOUT_MOVEMENT = "cost without movement"
    RECEIPT_MISSING = "receipt missing"
    CLEARING = "clearing"


class About(NamedTuple):
    """What is said and done about one kind."""

    sentence: str
    repair: Repair
    thing: Thing | None
    """What is read again to see whether it is still so."""


_SETTLE, _PERSON = Repair.SETTLE, Repair.PERSON

ABOUT: dict[Kind, About] = {
    Kind.PAYMENT_WITHOUT_GIFT: About(
        "A donor paid, and we have no gift for it.", _SETTLE, Thing.CHARGE
    ),
    Kind.FOREIGN_PAYMENT: About(
        "Somebody paid into our account, but not through this site.", _PERSON, Thing.CHARGE
    ),
    Kind.GIFT_WITHOUT_PAYMENT: About(
        "We hold a gift as received, and Stripe knows no payment for it.", _PERSON, Thing.CHARGE
    ),
    Kind.DUPLICATE_GIFT: About("One payment is booked as two gifts.", _PERSON, Thing.CHARGE),
    Kind.WRONG_AMOUNT: About(
        "The gift has another amount than its payment.", Repair.CORRECT, Thing.CHARGE
    ),
    Kind.WRONG_CURRENCY: About(
        "The gift has another currency than its payment.", _PERSON, Thing.CHARGE
    ),
    Kind.GIFT_NOT_RECEIVED: About(
        "The money is there, but we do not hold the gift as received.", _SETTLE, Thing.CHARGE
    ),
    Kind.GIFT_NOT_PLEDGED: About(
        "The bank is sending the money, and we do not expect it.", _SETTLE, Thing.CHARGE
    ),
    Kind.GIFT_NOT_PAID: About(
        "We hold the gift as received, but the payment did not go through.", _PERSON, Thing.CHARGE
    ),
    Kind.PLEDGE_FAILED: About(
        "The bank has refused, and we still expect the money.", _SETTLE, Thing.CHARGE
    ),
    Kind.CHECKOUT_CLOSED: About(
        "The payment page has closed, and we hold it as open.", _SETTLE, Thing.CHECKOUT
    ),
    Kind.CHECKOUT_UNSEEN: About(
        "Somebody finished the payment page, and we hold it as open.", _SETTLE, Thing.CHECKOUT
    ),
    Kind.INVOICE_WITHOUT_GIFT: About(
        "A month was paid, and we have no gift for it.", _SETTLE, Thing.INVOICE
    ),
    Kind.SUBSCRIPTION_UNSEEN: About(
        "Our monthly gift does not know its subscription.", _SETTLE, Thing.SUBSCRIPTION
    ),
    Kind.FOREIGN_SUBSCRIPTION: About(
        "Somebody is charged every month, but not through this site.", _PERSON, Thing.SUBSCRIPTION
    ),
    Kind.SUBSCRIPTION_GONE: About(
        "Our monthly gift goes on, and Stripe knows no subscription for it.",
        _PERSON,
        Thing.SUBSCRIPTION,
    ),
    Kind.MONTHLY_STATUS: About(
        "The monthly gift stands otherwise at Stripe.", _SETTLE, Thing.SUBSCRIPTION
    ),
    Kind.MONTHLY_AMOUNT: About(
        "The monthly gift has another amount at Stripe.", _SETTLE, Thing.SUBSCRIPTION
    ),
    Kind.MONTHLY_DATE: About(
        "The monthly gift is charged on another day at Stripe.", _SETTLE, Thing.SUBSCRIPTION
    ),
    Kind.REFUND_UNSEEN: About(
        "Money went back to a donor, and we do not know of it.", _SETTLE, Thing.REFUND
    ),
    Kind.REFUND_AMOUNT: About("The refund has another amount at Stripe.", _PERSON, Thing.REFUND),
    Kind.REFUND_STATUS: About("The refund stands otherwise at Stripe.", _SETTLE, Thing.REFUND),
    Kind.REFUND_GONE: About(
        "We booked a refund, and Stripe does not know it.", _PERSON, Thing.REFUND
    ),
    Kind.DISPUTE_UNSEEN: About(
        "A bank disputes a gift, and we do not know of it.", _SETTLE, Thing.DISPUTE
    ),
    Kind.DISPUTE_STATUS: About("The dispute stands otherwise at Stripe.", _SETTLE, Thing.DISPUTE),
    Kind.DISPUTE_GONE: About(
        "We hold a dispute, and Stripe does not know it.", _PERSON, Thing.DISPUTE
    ),
    Kind.PAYOUT_UNSEEN: About(
        "Money went to the bank, and we do not know of it.", _SETTLE, Thing.PAYOUT
    ),
    Kind.PAYOUT_STATUS: About("The payout stands otherwise at Stripe.", _SETTLE, Thing.PAYOUT),
    Kind.PAYOUT_AMOUNT: About("The payout has another amount at Stripe.", _PERSON, Thing.PAYOUT),
    Kind.PAYOUT_LINES: About(
        "We have not read all that the payout is made of.", Repair.READ_LINES, Thing.PAYOUT
    ),
    Kind.PAYOUT_GONE: About(
        "We booked a payout, and Stripe does not know it.", _PERSON, Thing.PAYOUT
    ),
    Kind.NOT_BOOKED: About(
        "Our balance at Stripe changed, and the ledger does not say so.", _SETTLE, Thing.MOVEMENT
    ),
    Kind.NOT_BOOKED_OTHER: About(
        "A fee or the like that belongs to no gift is not in the ledger.",
        Repair.BOOK,
        Thing.MOVEMENT,
    ),
    Kind.DISPUTE_NOT_BOOKED: About(
        "A dispute moved money, and the ledger does not say so.", _SETTLE, Thing.MOVEMENT
    ),
    Kind.FEE_MISSING: About("The ledger lacks what Stripe kept.", _SETTLE, Thing.MOVEMENT),
    Kind.FEE_WRONG: About(
        "The ledger has another fee than Stripe kept.", Repair.CORRECT, Thing.MOVEMENT
    ),
    Kind.BOOKED_WRONG: About(
        "The ledger has another amount than the balance at Stripe.", _PERSON, Thing.MOVEMENT
    ),
    Kind.ENTRY_WITHOUT_MOVEMENT: About(
        "The ledger has an entry for which nothing happened at Stripe.", _PERSON, None
    ),
    Kind.COST_WITHOUT_MOVEMENT: About(
        "The ledger has a fee that Stripe never kept.", Repair.CORRECT, None
    ),
    Kind.RECEIPT_MISSING: About("A gift was received and has no receipt.", Repair.RECEIPT, None),
    Kind.CLEARING: About("The clearing account holds another sum than Stripe does.", _PERSON, None),
}
