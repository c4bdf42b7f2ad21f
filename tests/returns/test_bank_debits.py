"""Bank debits: promised, received days later, not received, and taken back weeks after that."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from donorportal.config import ConfigurationRefused
from donorportal.giving.models import Receipt
from donorportal.giving.returns.models import DisputeRecord
from tests.portal_in_process import Portal, opened_portal, settings_for
from tests.returns.happenings import books, clearing, stripe_holds, the_gift
from tests.sandboxproc import SandboxProcess


@pytest.fixture
def debits(engine_url: str, sandbox: SandboxProcess) -> Iterator[Portal]:
    """An application that takes bank debits in US dollars."""
    with opened_portal(
        engine_url, sandbox, STRIPE_PAYMENT_METHODS="card,us_bank_account"
    ) as portal:
        yield portal


def _debit(portal: Portal) -> str:
    answer = portal.post(amount="50")
    landed = portal.sandbox.pay(answer.location, method="us_bank_account")
    portal.send_all()
    return str(landed.headers["Location"])


def _ends(portal: Portal, outcome: str) -> None:
    portal.sandbox.post("async", payment_intent=the_gift(portal).payment_remote_id, outcome=outcome)
    portal.send_all()


def test_a_promised_debit_is_no_gift_yet(debits: Portal) -> None:
    """The page says that it is on its way; there is no entry, no receipt and no mail."""
    landing = _debit(debits)

    page = debits.land(landing)

    assert "pledged" == the_gift(debits).status
    assert "on its way" in page.text.lower()
    assert {} == books(debits)
    assert [] == debits.scalars(sa.select(Receipt.number))
    assert [] == debits.mails()


def test_it_becomes_a_gift_when_the_money_comes(debits: Portal) -> None:
    """Days later it is received, booked, and gets its receipt."""
    _debit(debits)

    _ends(debits, "succeeded")

    assert "received" == the_gift(debits).status
    assert stripe_holds(debits) == clearing(debits)
    assert 1 == len(debits.mails())


def test_a_debit_that_never_comes_is_told(debits: Portal) -> None:
    """The bank sends nothing: no gift, and one mail that says that nothing is owed."""
    _debit(debits)

    _ends(debits, "failed")

    assert "failed" == the_gift(debits).status
    assert {} == books(debits)
    (mail,) = debits.mails()
    assert "Your bank did not pay your gift of $50" == mail["subject"]


@pytest.mark.parametrize("how", ["dispute", "failure"])
def test_a_debit_taken_back_after_it_had_arrived_is_reversed(debits: Portal, how: str) -> None:
    """Weeks later the bank takes it back, in either of Stripe's ways: reversed, and told once."""
    _debit(debits)
    _ends(debits, "succeeded")
    debits.sandbox.advance(days=30)

    debits.sandbox.post("returns", charge=the_gift(debits).charge_remote_id, how=how)
    debits.send_all()

    row = the_gift(debits)
    assert ("received", 5000) == (row.status, row.lost_minor)
    found = books(debits)
    assert "gifts:where-needed-most" not in found
    assert "disputed:stripe" not in found
    assert stripe_holds(debits) == clearing(debits)
    assert ["bank return"] == debits.scalars(sa.select(DisputeRecord.kind))
    subjects = [mail["subject"] for mail in debits.mails()]
    assert 1 == subjects.count("Your bank did not pay your gift of $50")


@pytest.mark.parametrize("how", ["dispute", "failure"])
def test_a_debit_first_seen_after_it_was_taken_back_is_booked_both_ways(
    debits: Portal, how: str
) -> None:
    """No event came in time: the money is shown to have come and gone, and no receipt is sent."""
    answer = debits.post(amount="50")
    debits.sandbox.pay(answer.location, method="us_bank_account")
    (intent,) = debits.sandbox.listed("payment_intents")
    debits.sandbox.post("async", payment_intent=intent["id"], outcome="succeeded")
    (charge,) = debits.sandbox.listed("charges")
    debits.sandbox.post("returns", charge=charge["id"], how=how)

    debits.send_all()

    assert ("received", 5000) == (the_gift(debits).status, the_gift(debits).lost_minor)
    assert stripe_holds(debits) == clearing(debits)


def test_only_currencies_of_the_bank_are_offered_a_debit(debits: Portal) -> None:
    """A US bank account pays in dollars; for pounds there are cards."""
    assert ("card", "us_bank_account") == debits.settings.methods_for("USD")
    assert ("card",) == debits.settings.methods_for("GBP")


@pytest.mark.parametrize("methods", ["us_bank_account", "card,cheque"])
def test_a_way_to_pay_that_we_do_not_know_stops_the_start(
    sandbox: SandboxProcess, methods: str
) -> None:
    """Cards are always there, and a misspelt method is named."""
    with pytest.raises(ConfigurationRefused, match="STRIPE_PAYMENT_METHODS"):
        settings_for("sqlite://", sandbox, STRIPE_PAYMENT_METHODS=methods)


def test_debits_are_off_by_default(sandbox: SandboxProcess) -> None:
    """Without the setting there are cards only."""
    settings = settings_for("sqlite://", sandbox)

    assert ("card",) == settings.payment_methods
