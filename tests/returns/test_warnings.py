"""Early warnings of fraud: small gifts go back at once, larger ones wait for a person."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from donorportal.giving.returns.models import FraudWarningRecord, GiftTask, Refund
from tests.portal_in_process import Portal, opened_portal
from tests.returns.happenings import given, refund_in_dashboard, the_gift
from tests.sandboxproc import SandboxProcess


@pytest.fixture
def careful(engine_url: str, sandbox: SandboxProcess) -> Iterator[Portal]:
    """An application that refunds warned gifts of up to 20 units at once."""
    with opened_portal(engine_url, sandbox, REFUND_WARNED_GIFTS_UP_TO="20") as portal:
        yield portal


def _warn(portal: Portal) -> None:
    portal.sandbox.post("fraud-warnings", charge=the_gift(portal).charge_remote_id)
    portal.send_all()
    portal.work()


def test_a_small_gift_goes_back_at_once(careful: Portal) -> None:
    """$20 are refunded by the system through the same path, with its reason, once."""
    given(careful, "20")

    _warn(careful)
    _warn(careful)

    assert [("system", "succeeded", "warning of fraud: made_with_stolen_card", 2000)] == (
        careful.rows(sa.select(Refund.actor, Refund.status, Refund.reason, Refund.amount_minor))
    )
    assert 2000 == the_gift(careful).refunded_minor


def test_a_larger_gift_waits_for_a_person(careful: Portal) -> None:
    """$50 are a task: a refund now avoids a dispute."""
    given(careful, "50")

    _warn(careful)

    assert [] == careful.scalars(sa.select(Refund))
    (text,) = careful.scalars(sa.select(GiftTask.text))
    assert "A refund now avoids a dispute." in text


def test_by_default_every_warning_waits_for_a_person(portal: Portal) -> None:
    """Money moves by itself only where somebody switched that on."""
    given(portal, "5")

    _warn(portal)

    assert [] == portal.scalars(sa.select(Refund))
    assert 1 == len(portal.scalars(sa.select(GiftTask.id)))


def test_a_warning_about_what_was_refunded_leaves_nothing_to_do(careful: Portal) -> None:
    """Refunded before the warning came: it is kept, and nobody is bothered."""
    gift = given(careful, "20")
    refund_in_dashboard(careful, gift, 2000)

    _warn(careful)

    assert 1 == len(careful.scalars(sa.select(FraudWarningRecord.id)))
    assert [2000] == careful.scalars(sa.select(Refund.amount_minor))
    assert [] == careful.scalars(sa.select(GiftTask))


def test_a_refund_by_staff_in_the_same_moment_is_enough(careful: Portal) -> None:
    """Between the warning and our answer somebody refunds: ours finds nothing left."""
    gift = given(careful, "20")
    careful.sandbox.post("fraud-warnings", charge=gift.charge_remote_id)
    refund_in_dashboard(careful, gift, 2000)

    careful.send_all()
    careful.work()

    assert [2000] == careful.scalars(
        sa.select(Refund.amount_minor).where(Refund.status == "succeeded")
    )
    assert 2000 == the_gift(careful).refunded_minor
