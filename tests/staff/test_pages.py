"""The back office's pages: enrolment, the queues, and running work again."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
import sqlalchemy as sa
import time_machine
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.access import staff_accounts
from donorportal.access.models import StaffMember
from donorportal.access.people import Realm, Role
from donorportal.audit.models import AuditRecord
from donorportal.db import reading_session, writing_session
from donorportal.jobs.models import Job, JobState
from donorportal.staff import listing
from donorportal.webhooks.models import InboundEvent
from tests.access.doorstep import STAFF, Doorstep, csrf_token, sees_back_office, submit

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_CANARY = '<img src=x onerror=PWN=1>"{{7*7}}'


@pytest.fixture
def colleague(doorstep: Doorstep) -> FlaskClient:
    """The browser of an owner who is signed in."""
    doorstep.staff()
    browser = doorstep.browser()
    doorstep.sign_in_staff(browser)
    return browser


def _invite(doorstep: Doorstep, role: Role = Role.EDITOR) -> str:
    with writing_session(doorstep.engine) as session:
        link = staff_accounts.invite(session, doorstep.settings, STAFF, role)
    return link.removeprefix(doorstep.settings.public_url)


def _jobs(doorstep: Doorstep, number: int, state: JobState = JobState.DEAD) -> list[int]:
    values = {"task": "giving.settle", "args": {}, "state": state, "error": _CANARY}
    times = {"run_at": clock.now(), "created_at": clock.now()}
    with writing_session(doorstep.engine) as session:
        added = sa.insert(Job).returning(Job.id)
        return list(session.scalars(added, [{**values, **times} for _ in range(number)]))


def _event(doorstep: Doorstep) -> int:
    with writing_session(doorstep.engine) as session:
        return session.execute(
            sa.insert(InboundEvent)
            .values(
                event_id="evt_1",
                type="charge.succeeded",
                payload=_CANARY,
                state="quarantined",
                livemode=False,
                received_at=clock.now(),
            )
            .returning(InboundEvent.id)
        ).scalar_one()


def _audit(doorstep: Doorstep) -> list[tuple[str, str, str]]:
    with Session(doorstep.engine) as session:
        rows = session.execute(
            sa.select(AuditRecord.actor, AuditRecord.action, AuditRecord.subject).order_by(
                AuditRecord.id
            )
        )
        return [(row.actor, row.action, row.subject) for row in rows]


def test_an_invitation_leads_into_the_back_office(doorstep: Doorstep) -> None:
    """The key on the page, typed into an authenticator app, gives a code that finishes it."""
    path = _invite(doorstep)
    browser = doorstep.browser()
    page = browser.get(path)
    key = re.search(r'class="code">([A-Z2-7 ]+)<', page.text)
    assert key is not None
    app = pyotp.TOTP(key[1].replace(" ", ""))

    answer = submit(browser, path, {"code": app.now()})

    assert (answer.status_code, answer.location) == (303, "/staff/")
    assert sees_back_office(browser)
    assert "<svg" in page.text
    assert "style=" not in page.text
    assert [action for _, action, _ in _audit(doorstep)] == ["invite", "enrol"]


def test_an_invitation_works_once(doorstep: Doorstep) -> None:
    """After the enrolment its link leads nowhere."""
    path = _invite(doorstep)
    submit(doorstep.browser(), path, {"code": doorstep.authenticator().now()})

    assert doorstep.browser().get(path).status_code == 404


def test_the_code_of_the_enrolment_does_not_sign_in_again(doorstep: Doorstep) -> None:
    """The first code of an app is used up like any other."""
    path = _invite(doorstep)
    with time_machine.travel(_NOON, tick=False):
        code = doorstep.authenticator().at(int(_NOON.timestamp()))
        submit(doorstep.browser(), path, {"code": code})
        browser = doorstep.browser()
        doorstep.sign_in_staff(browser)

        assert not sees_back_office(browser)


def test_a_wrong_first_code_is_said_to_be_wrong(doorstep: Doorstep) -> None:
    """Enrolment waits until the app shows what we expect."""
    path = _invite(doorstep)
    browser = doorstep.browser()

    answer = submit(browser, path, {"code": "abcdef"})

    assert answer.status_code == 422
    assert not sees_back_office(browser)
    assert browser.get(path).status_code == 200


@pytest.mark.parametrize(("days", "status"), [(6, 200), (7, 404)])
def test_an_invitation_stands_for_a_week(doorstep: Doorstep, days: int, status: int) -> None:
    """Seven days later somebody has to invite again."""
    with time_machine.travel(_NOON, tick=False) as moment:
        path = _invite(doorstep)
        moment.shift(timedelta(days=days))

        assert doorstep.browser().get(path).status_code == status


def test_a_newer_invitation_replaces_the_older(doorstep: Doorstep) -> None:
    """Only the last link that was sent works."""
    first, second = _invite(doorstep), _invite(doorstep)

    assert doorstep.browser().get(first).status_code == 404
    assert doorstep.browser().get(second).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["", "x", "1", "1-", "1-" + "0" * 32, "-1-" + "0" * 32, "9" * 40 + "-0", "\u0661-" + "0" * 32],
)
def test_a_made_up_invitation_is_refused(doorstep: Doorstep, token: str) -> None:
    """Whatever is no signature of ours leads nowhere."""
    _invite(doorstep)

    assert doorstep.browser().get(f"/staff/enrol/{token}").status_code == 404


def test_the_invited_cannot_sign_in_before_they_enrolled(doorstep: Doorstep) -> None:
    """An invitation alone makes nobody a colleague."""
    _invite(doorstep)

    doorstep.ask(doorstep.browser(), STAFF, Realm.STAFF)

    assert doorstep.outbox()[-1].kind == "sign-in-unknown"


def test_the_overview_says_what_waits(doorstep: Doorstep, colleague: FlaskClient) -> None:
    """Dead jobs and quarantined events stand out on the first page."""
    _jobs(doorstep, 3)
    _event(doorstep)

    page = colleague.get("/staff/")

    assert re.search(r'Dead</dt>\s*<dd class="number \w+">3<', page.text)
    assert re.search(r'Quarantined</dt>\s*<dd class="number \w+">1<', page.text)


def test_pages_of_jobs_cover_each_row_once(doorstep: Doorstep, colleague: FlaskClient) -> None:
    """Going to older pages and back shows every dead job once, newest first, both ways."""
    ids = _jobs(doorstep, listing.PAGE_LENGTH * 2 + 3)[::-1]
    _jobs(doorstep, 5, JobState.DONE)

    forward, last = _walk(colleague, "/staff/jobs?state=dead", "next")
    back, first = _walk(colleague, last, "prev")

    assert [row for page in forward for row in page] == ids
    assert [row for page in back[::-1] for row in page] == ids
    assert 'rel="prev"' not in colleague.get(first).text


def _walk(browser: FlaskClient, url: str, rel: str) -> tuple[list[list[int]], str]:
    pages = []
    while True:
        text = browser.get(url).text
        pages.append([int(row) for row in re.findall(r'action="/staff/jobs/(\d+)/runs"', text)])
        link = re.search(rf'rel="{rel}"\s+href="([^"]+)"', text)
        if link is None:
            return pages, url
        url = link[1].replace("&amp;", "&")


@pytest.mark.parametrize(
    "query", ["state=nonsense", "before=abc", "after=-1", "before=" + "9" * 40]
)
def test_a_nonsense_address_shows_the_first_page(colleague: FlaskClient, query: str) -> None:
    """Whatever stands in the address of a list, it is answered."""
    assert colleague.get(f"/staff/jobs?{query}").status_code == 200


def test_a_dead_job_runs_again_and_the_audit_says_who(
    doorstep: Doorstep, colleague: FlaskClient
) -> None:
    """The button gives the job new attempts, writes down who pressed it, and does so once."""
    (job,) = _jobs(doorstep, 1)
    before = _audit(doorstep)

    for _ in range(2):
        answer = submit(colleague, f"/staff/jobs/{job}/runs", {}, form="/sign-out")
        assert (answer.status_code, answer.location) == (303, "/staff/jobs")

    with Session(doorstep.engine) as session:
        assert session.scalars(sa.select(Job.state).where(Job.id == job)).one() == JobState.READY
        staff = session.scalars(sa.select(StaffMember.id)).one()
    assert _audit(doorstep)[len(before) :] == [(f"staff:{staff}", "run again", f"job:{job}")]


def test_an_event_is_processed_again(doorstep: Doorstep, colleague: FlaskClient) -> None:
    """The button queues the event's job once more, and a double click queues it once."""
    event = _event(doorstep)

    with time_machine.travel(clock.now(), tick=False):
        for _ in range(2):
            answer = submit(colleague, f"/staff/inbox/{event}/runs", {}, form="/sign-out")
            assert answer.location == f"/staff/inbox/{event}"

    with Session(doorstep.engine) as session:
        queued = session.scalars(sa.select(Job).where(Job.task == "webhooks.process")).all()
        assert [job.args for job in queued] == [{"event": event}]
    assert [subject for _, action, subject in _audit(doorstep) if action == "process again"] == [
        f"event:{event}"
    ]


@pytest.mark.parametrize("path", ["/staff/inbox/77", "/staff/inbox/" + "9" * 30])
def test_an_event_that_is_not_there(colleague: FlaskClient, path: str) -> None:
    """An unknown number is not found, however large."""
    assert colleague.get(path).status_code == 404
    assert submit(colleague, f"{path}/runs", {}, form="/sign-out").status_code == 404


def test_foreign_text_stays_text(doorstep: Doorstep, colleague: FlaskClient) -> None:
    """What came from outside is shown as it is written, never as a part of the page."""
    event = _event(doorstep)
    _jobs(doorstep, 1)

    pages = [colleague.get(path).text for path in (f"/staff/inbox/{event}", "/staff/jobs")]

    for page in pages:
        assert "<img" not in page
        assert "&lt;img src=x onerror=PWN=1&gt;" in page
        assert "{{7*7}}" in page


def test_g9_a_press_without_the_forms_token_does_nothing(
    doorstep: Doorstep, colleague: FlaskClient
) -> None:
    """Without the token, with another person's, or by GET, no job runs again."""
    (job,) = _jobs(doorstep, 1)
    stranger = csrf_token(doorstep.browser(), "/sign-in")
    path = f"/staff/jobs/{job}/runs"

    statuses = [
        colleague.post(path).status_code,
        colleague.post(path, data={"csrf_token": stranger}).status_code,
        colleague.post(path, data='{"csrf_token": ""}', content_type="text/plain").status_code,
        colleague.get(path).status_code,
    ]

    assert statuses == [403, 403, 403, 405]
    with Session(doorstep.engine) as session:
        assert session.scalars(sa.select(Job.state).where(Job.id == job)).one() == JobState.DEAD


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_g9_another_sites_form_is_refused(
    doorstep: Doorstep, colleague: FlaskClient, headers: dict[str, str]
) -> None:
    """A post that the browser says another site caused is refused, even with a good token."""
    (job,) = _jobs(doorstep, 1)
    token = csrf_token(colleague, "/sign-out")

    answer = colleague.post(f"/staff/jobs/{job}/runs", data={"csrf_token": token}, headers=headers)

    assert answer.status_code == 403


def test_g9_nobody_is_signed_in_by_another_site(doorstep: Doorstep) -> None:
    """Another site's form cannot send a code: signing a victim in as the attacker is one too."""
    doorstep.donor()
    browser = doorstep.browser()
    doorstep.ask(browser)

    answer = browser.post("/sign-in/code", data={"code": doorstep.code()})

    assert answer.status_code == 403


def test_counting_stops_where_it_tells_nobody_anything(doorstep: Doorstep) -> None:
    """States with very many rows are counted up to a thousand."""
    _jobs(doorstep, listing.MOST_COUNTED + 20, JobState.DONE)

    with reading_session(doorstep.engine) as session:
        assert listing.counts(session, listing.JOBS)["done"] == listing.MOST_COUNTED + 1


@pytest.mark.parametrize("state", [None, "dead"])
def test_a_page_is_read_along_an_index(doorstep: Doorstep, state: str | None) -> None:
    """However many jobs there are, a page reads as many rows as it shows: no sort, no scan."""
    statements: list[tuple[str, Any]] = []
    sa.event.listen(
        doorstep.engine, "before_cursor_execute", lambda *args: statements.append(args[2:4])
    )
    with writing_session(doorstep.engine) as session:
        listing.page(session, listing.JOBS, state=state, older_than=500)
        statement, parameters = statements[-1]
        if doorstep.engine.dialect.name == "postgresql":
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
            session.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
        explain = (
            "EXPLAIN " if doorstep.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        )
        plan = session.connection().exec_driver_sql(explain + statement, parameters).all()
    text = "\n".join(str(row) for row in plan)

    assert "Sort" not in text
    assert "TEMP B-TREE" not in text
    assert "ix_job_state" in text if state else ("pk_job" in text or "PRIMARY KEY" in text)
