"""Staff change a monthly gift for a donor who is on the telephone."""

import pytest
import sqlalchemy as sa

from donorportal import clock
from donorportal.access import staff_accounts
from donorportal.access.models import StaffMember
from donorportal.access.people import Role
from donorportal.db import writing_session
from donorportal.giving.models import RecurringStatus
from donorportal.giving.partner.models import Action
from tests.partner.walking import Partner, fields_of, signed_in, words_of

_ON_THE_PHONE = [
    Action.AMOUNT,
    Action.DESIGNATION,
    Action.DAY,
    Action.SKIP,
    Action.PAUSE,
    Action.END,
]
_ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)


class Desk(Partner):
    """The same pages, walked by a staff member."""

    def path(self, action: Action) -> str:
        """Return the address of a change in the back office."""
        return f"/staff/partners/{self.gift.id}/{action}"


@pytest.fixture
def desk(partner: Partner) -> Desk:
    """Somebody of the support team, signed in."""
    return at_desk(partner, Role.SUPPORT)


def at_desk(partner: Partner, role: Role) -> Desk:
    """Return a staff member of this role, signed in."""
    portal = partner.portal
    with writing_session(portal.engine) as session:
        staff_accounts.invite(session, portal.settings, f"{role}@example.org", role, "Umber Tagus")
        staff_id = session.execute(
            sa.update(StaffMember).values(enrolled_at=clock.now()).returning(StaffMember.id)
        ).scalar_one()
    return Desk(portal, signed_in(portal, staff_id, "staff"))


@pytest.mark.parametrize("action", _ON_THE_PHONE)
def test_what_a_donor_can_do_staff_can_do_for_them(desk: Desk, action: Action) -> None:
    """The same pages, in the name of the staff member; the donor reads who did it, and is told."""
    page = words_of(desk.change(action))
    donor = Partner(desk.portal, signed_in(desk.portal, desk.gift.donor_id))
    (mail,) = [m for m in _mails(desk) if "receipt" not in m["subject"]]

    assert "Staff" in page
    assert desk.changes() == [(action, "done")]
    assert desk.acts()[-1][0].startswith("staff:")
    assert "Staff" in words_of(donor.home)
    assert "We did this for you because you asked us to." in mail["text"]


def test_a_donor_is_found_by_address_and_by_name(desk: Desk) -> None:
    """The whole address, or a part of the name in any spelling; anything else finds nobody."""
    found = {
        words: "/staff/partners/1" in desk.client.get(f"/staff/partners?q={words}").text
        for words in ("", "donor@example.org", "sam ex", "nobody@example.org", "@", "%", "Zoe")
    }

    assert found == {
        "": True,
        "donor@example.org": True,
        "sam ex": True,
        "nobody@example.org": False,
        "@": False,
        "%": False,
        "Zoe": False,
    }


@_ONE_DATABASE
def test_a_link_is_mailed_once_for_each_form(desk: Desk) -> None:
    """The donor gets the address of the page, not a way around signing in."""
    page = desk.client.get(f"/staff/partners/{desk.gift.id}").text
    form = fields_of(page)
    for _ in range(2):
        answer = desk.client.post(f"/staff/partners/{desk.gift.id}/links", data=form)
    landed = words_of(desk.client.get(answer.location).text)
    mails = [m for m in _mails(desk) if m["subject"] == "The way to your monthly gift"]

    assert "We sent the donor a message" in landed
    assert len(mails) == 1
    assert "http://localhost/portal/partner\n" in mails[0]["text"]
    assert desk.acts()[-1][1] == "send link"


@_ONE_DATABASE
@pytest.mark.parametrize("action", [Action.CARD, Action.ONCE])
def test_what_only_the_donor_does_is_not_there(desk: Desk, action: Action) -> None:
    """A card is typed by its owner, and refunds have a page and a permission of their own."""
    page = desk.client.get(f"/staff/partners/{desk.gift.id}").text

    assert f"/staff/partners/{desk.gift.id}/{action}" not in page
    assert desk.client.get(desk.path(action)).status_code == 404


@_ONE_DATABASE
def test_editors_see_no_donors(partner: Partner) -> None:
    """Who writes stories has no business with gifts."""
    desk = at_desk(partner, Role.EDITOR)
    paths = ("/staff/partners", f"/staff/partners/{desk.gift.id}", desk.path(Action.END))

    assert {desk.client.get(path).status_code for path in paths} == {403}


@_ONE_DATABASE
def test_a_paused_gift_goes_on_when_staff_end_the_pause(desk: Desk) -> None:
    """Paused by the donor, resumed by staff: the history names both."""
    donor = Partner(desk.portal, signed_in(desk.portal, desk.gift.donor_id))
    donor.change(Action.PAUSE)
    page = words_of(desk.change(Action.RESUME, look="1"))

    assert "The donor paused the gift until" in page
    assert "Staff ended the pause." in page
    assert desk.gift.status == RecurringStatus.ACTIVE


def _mails(desk: Desk) -> list[dict[str, str]]:
    desk.portal.work()
    return desk.portal.mails("donor@example.org")
