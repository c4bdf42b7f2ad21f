"""`donorportal doctor` finds what is missing and says what to do about it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import dns.exception
import pytest
import requests
import sqlalchemy as sa

from donorportal import clock, schema
from donorportal.config import Settings
from donorportal.db import writing_session
from donorportal.doctor import Finding, LookUp, Verdict, examine
from donorportal.jobs.models import Job, JobState
from donorportal.mail.transport import Patience, SmtpTransport
from donorportal.payments.stripe_gateway import EVENT_TYPES, StripeGateway
from tests.portal_in_process import Portal, environment_for
from tests.sandboxproc import ROOT

_ONE_DATABASE = pytest.mark.parametrize("engine_url", ["sqlite"], indirect=True)
_PATIENCE = Patience(connect=2, command=2)


def _findings(portal: Portal, settings: Settings | None = None) -> list[Finding]:
    settings = settings or replace(portal.settings, public_url="http://localhost:9")
    gateway = StripeGateway(settings.stripe_secret_key, api_base=settings.stripe_api_base)
    transport = SmtpTransport(settings, _PATIENCE)
    return list(examine(settings, portal.engine, gateway, transport))


def _trouble(found: list[Finding]) -> list[tuple[Verdict, str]]:
    return [(each.verdict, str(each)) for each in found if each.verdict != Verdict.OK]


def test_a_good_installation_is_found_to_be_good(portal: Portal) -> None:
    """Settings, database, queue, Stripe, endpoint, clock and relay: one line each, all well."""
    found = _findings(portal)

    assert [] == _trouble(found)
    assert 7 == len(found)
    assert all(str(each).startswith("ok ") for each in found)
    assert [] == portal.mails()


def test_what_waits_and_what_failed_is_said(portal: Portal) -> None:
    """A job that nobody takes fails the check; one that was given up is worth a look."""
    long_ago = clock.now() - timedelta(hours=1)
    times = {"run_at": long_ago, "created_at": long_ago, "task": "x", "args": {}}
    with writing_session(portal.engine) as session:
        session.execute(
            sa.insert(Job),
            [times | {"state": JobState.READY}, times | {"state": JobState.DEAD}],
        )

    (stuck, dead) = _trouble(_findings(portal))

    assert (Verdict.FAILED, True) == (stuck[0], "waited for 1:00:00" in stuck[1])
    assert (Verdict.LOOK, True) == (dead[0], "see /staff/jobs" in dead[1])


def test_missing_migrations_are_named(portal: Portal) -> None:
    """A database of an older version fails, with the command that mends it."""
    schema.downgrade(portal.engine, "0001")

    ((verdict, text),) = _trouble(_findings(portal))
    schema.upgrade(portal.engine)

    assert verdict == Verdict.FAILED
    assert "donorportal db upgrade" in text


def _no_products(portal: Portal) -> None:
    portal.sandbox.reset()


def _other_events(portal: Portal) -> None:
    _change(portal, enabled_events=list(EVENT_TYPES[1:]))


def _disabled(portal: Portal) -> None:
    _change(portal, disabled="true")


def _second(portal: Portal) -> None:
    portal.gateway.set_up(public_url="http://localhost:9", organisation="Open Door")


def _change(portal: Portal, **values: object) -> None:
    (endpoint,) = portal.sandbox.listed("webhook_endpoints")
    fields: dict[str, object] = {}
    for name, value in values.items():
        fields |= {f"{name}[]": value} if isinstance(value, list) else {name: value}
    answer = requests.post(
        f"{portal.sandbox.url}/v1/webhook_endpoints/{endpoint['id']}",
        data=fields,
        auth=("sk_test_x", ""),
        timeout=10,
    )
    assert answer.ok, answer.text


@_ONE_DATABASE
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_no_products, {Verdict.FAILED: "stripe setup"}),
        (_other_events, {Verdict.FAILED: EVENT_TYPES[0]}),
        (_disabled, {Verdict.FAILED: "no webhook endpoint"}),
        (_second, {Verdict.LOOK: "2 webhook endpoints"}),
    ],
)
def test_an_account_that_is_not_set_up_is_told_apart(
    portal: Portal, harm: Callable[[Portal], None], said: dict[Verdict, str]
) -> None:
    """Missing products, missing events, a disabled endpoint and a doubled one are found."""
    harm(portal)

    trouble = _trouble(_findings(portal))

    for verdict, words in said.items():
        assert any(each[0] == verdict and words in each[1] for each in trouble), trouble


@_ONE_DATABASE
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stripe_api_base": "http://127.0.0.1:9"}, "Stripe does not answer"),
        ({"mail_port": 9}, "does not take us"),
        ({"mail_security": "starttls"}, "does not take us"),
        ({"public_url": "http://localhost:10"}, "no webhook endpoint sends to"),
    ],
)
def test_a_setting_that_leads_nowhere_is_found(
    portal: Portal, change: dict[str, object], words: str
) -> None:
    """Each thing outside is asked; what does not answer is named with what to check."""
    settings = replace(portal.settings, **({"public_url": "http://localhost:9"} | change))  # type: ignore[arg-type]

    trouble = _trouble(_findings(portal, settings))

    assert any(verdict == Verdict.FAILED and words in text for verdict, text in trouble), trouble


@_ONE_DATABASE
@pytest.mark.parametrize("published", [True, False, None])
def test_mail_records_are_looked_up_for_a_live_site(portal: Portal, published: bool | None) -> None:
    """SPF and DMARC are there, missing, or could not be checked; none of it is a failure."""
    live = replace(portal.settings, stripe_secret_key="sk_live_" + "1" * 24)
    found = examine(
        live, portal.engine, portal.gateway, SmtpTransport(live, _PATIENCE), look_up=_dns(published)
    )
    texts = [str(each) for each in found if "SPF" in each.what or "DMARC" in each.what]

    start = {True: "ok", False: "look at this", None: "look at this"}[published]
    assert 2 == len(texts)
    assert all(text.startswith(start) for text in texts)
    assert (published is None) == ("could not be checked" in texts[0])


def _dns(published: bool | None) -> LookUp:
    def look_up(name: str) -> list[str]:
        if published is None:
            raise dns.exception.Timeout
        known = {"example.org": "v=spf1 -all", "_dmarc.example.org": "v=DMARC1; p=reject"}
        return ["something else", known[name]] if published else ["something else"]

    return look_up


@_ONE_DATABASE
def test_the_command_prints_every_line_and_exits_by_the_worst(portal: Portal) -> None:
    """Run as operators run it: 0 when all is well, 1 when something fails, and no secret shown."""
    environment = environment_for(
        portal.settings.database_url, portal.sandbox, PUBLIC_URL="http://localhost:9"
    )

    def run(**changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from donorportal.cli import main; main()", "doctor"],
            env={"PATH": "/usr/bin:/bin"} | environment | changed,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    well, ill = run(), run(MAIL_PORT="9")

    assert (0, 7) == (well.returncode, len(well.stdout.splitlines())), well
    assert 1 == ill.returncode
    assert "failed        mail relay 127.0.0.1:9 (none) does not take us" in ill.stdout
    assert environment["STRIPE_SECRET_KEY"] not in well.stdout + ill.stdout


@_ONE_DATABASE
def test_security_txt_says_where_to_report_a_weakness(portal: Portal) -> None:
    """RFC 9116: a contact, a date in the next year, and the file's own address."""
    answer = portal.client().get("/.well-known/security.txt")

    assert "text/plain; charset=utf-8" == answer.content_type
    lines = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert "mailto:giving@example.org" == lines["Contact"]
    assert "http://localhost/.well-known/security.txt" == lines["Canonical"]
    assert clock.now().isoformat() < lines["Expires"]
