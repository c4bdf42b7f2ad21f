"""Every kind of difference is found, and repaired where that is safe."""

import sqlalchemy as sa

from donorportal.audit.models import AuditRecord
from donorportal.giving.reconcile.kinds import ABOUT, Kind, Repair
from donorportal.mail.models import OutboxMessage
from tests.portal_in_process import Portal
from tests.reconcile.comparing import everything, reconcile, standing
from tests.reconcile.differences import Maker, make_all, put_right

_LEFT = {kind for kind in Kind if ABOUT[kind].repair is Repair.PERSON}


def test_every_kind_of_difference_is_found_and_what_is_safe_is_repaired(
    portal: Portal, make: Maker
) -> None:
    """All kinds at once: reported, then repaired, then only those are left that need a person."""
    make_all(make)

    run = reconcile(portal)
    found = standing(portal)
    assert [] == sorted(set(Kind) - set(found))
    assert run.left == sum(map(len, found.values()))
    assert run.repaired == 0

    repaired = reconcile(portal, fix=True).repaired
    audited = sa.select(AuditRecord.id).where(AuditRecord.action == "repair difference")
    assert repaired == len(portal.scalars(audited))
    portal.work()
    left = standing(portal)
    assert set() == set(left) - _LEFT, left

    before = everything(portal)
    again = reconcile(portal, fix=True)
    assert before == everything(portal)
    assert (0, left) == (again.repaired, standing(portal))

    keys = portal.scalars(sa.select(OutboxMessage.key))
    assert len(keys) == len(set(keys))
    put_right(make)
