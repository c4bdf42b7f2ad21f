"""The self-check: whether everything that an installation needs is there and answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import dns.exception
import dns.resolver
import sqlalchemy as sa

from donorportal import metrics, schema
from donorportal.config import Settings
from donorportal.mail.transport import MailDeferred, SmtpTransport
from donorportal.payments.gateway import API_VERSION, GatewayRejected, GatewayUnavailable, SetUp
from donorportal.payments.stripe_gateway import StripeGateway

# Stripe's events are refused when they seem to be older than five minutes.
_CLOCK_LOOK_SECONDS, _CLOCK_FAILED_SECONDS = 30, 240
# A worker looks at the rows every two seconds; what waits longer than this waits for nobody.
_OLDEST_JOB = timedelta(minutes=15)
_DNS_SECONDS = 4.0
_RUN_SET_UP = 'run "donorportal stripe setup", then set STRIPE_WEBHOOK_SECRETS to what it prints'

LookUp = Callable[[str], list[str]]
"""Returns the TXT records of a name; empty if there are none. Raises DNSException."""


class Verdict(StrEnum):
    """How one check ended."""

    OK = "ok"
    LOOK = "look at this"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    verdict: Verdict
    what: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.verdict:<12}  {self.what}"
        return f"{text}: {self.advice}" if self.advice else text


def texts_of(name: str) -> list[str]:
    """Ask the name servers; see ``LookUp``."""
    try:
        found = dns.resolver.resolve(name, "TXT", lifetime=_DNS_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in found]


def examine(
    settings: Settings,
    engine: sa.Engine,
    gateway: StripeGateway,
    transport: SmtpTransport,
    *,
    look_up: LookUp = texts_of,
) -> Iterator[Finding]:
    """Check one thing after another; nothing is changed, and no mail is sent."""
    yield Finding(Verdict.OK, f"settings, in {'live' if settings.livemode else 'test'} mode")
    if settings.livemode:
        yield from _fit_for_donors(settings)
    yield from _database(engine)
    yield from _stripe(settings, gateway)
    yield _relay(settings, transport)
    if settings.livemode:
        yield from _mail_names(settings.mail_domain, look_up)


def _fit_for_donors(settings: Settings) -> Iterator[Finding]:
    """Find defaults that are fine for a trial and wrong for an organisation."""
    if settings.database_url.startswith("sqlite"):
        advice = "one machine can use SQLite; for more than one set DATABASE_URL to PostgreSQL"
        yield Finding(Verdict.LOOK, "SQLite with a live key", advice)
    if not settings.trusted_proxies:
        advice = "put a proxy in front and set TRUSTED_PROXIES to 1; see the README"
        yield Finding(Verdict.LOOK, "no proxy in front", advice)
    if not settings.organisation.address_lines or settings.organisation.ein == "00-0000000":
        advice = "set ORGANISATION_ADDRESS and ORGANISATION_EIN"
        yield Finding(Verdict.LOOK, "receipts lack your address or EIN", advice)


def _database(engine: sa.Engine) -> Iterator[Finding]:
    name = engine.dialect.name
    try:
        with engine.connect() as connection:
            if not schema.is_current(connection):
                advice = 'run "donorportal db upgrade"'
                yield Finding(Verdict.FAILED, "migrations are missing", advice)
                return
            waiting = metrics.waiting(connection)
    except sa.exc.SQLAlchemyError as error:
        advice = "check DATABASE_URL and whether the server runs"
        yield Finding(Verdict.FAILED, f"no {name} database ({type(error).__name__})", advice)
        return
    yield Finding(Verdict.OK, f"database ({name}), all migrations there")
    yield from _queues(waiting)


def _queues(waiting: dict[str, float]) -> Iterator[Finding]:
    oldest = timedelta(seconds=round(waiting["jobs_oldest_ready_seconds"]))
    if oldest > _OLDEST_JOB:
        advice = 'start a worker with "donorportal worker", or look into its log'
        yield Finding(Verdict.FAILED, f"the oldest job has waited for {oldest}", advice)
    else:
        yield Finding(Verdict.OK, f"jobs are done as they come; the oldest has waited {oldest}")
    for name, what, where in (
        ("jobs_dead", "jobs have been given up", "/staff/jobs"),
        ("inbox_quarantined", "events of Stripe's are put aside", "/staff/inbox"),
        ("outbox_failed", "mails were refused", "/staff/outbox"),
    ):
        if count := int(waiting[name]):
            yield Finding(Verdict.LOOK, f"{count} {what}", f"see {where}")


def _stripe(settings: Settings, gateway: StripeGateway) -> Iterator[Finding]:
    try:
        found = gateway.read_set_up()
    except GatewayUnavailable as trouble:
        advice = f"check the way to {settings.stripe_api_base}"
        yield Finding(Verdict.FAILED, f"Stripe does not answer ({trouble})", advice)
        return
    except GatewayRejected as trouble:
        advice = "check STRIPE_SECRET_KEY and what it may do"
        yield Finding(Verdict.FAILED, f"Stripe refuses us ({trouble})", advice)
        return
    yield Finding(Verdict.OK, "Stripe answers")
    if found.missing_products:
        missing = ", ".join(found.missing_products)
        yield Finding(Verdict.FAILED, f"Stripe has no product {missing}", _RUN_SET_UP)
    yield _endpoint(found, f"{settings.public_url}/webhooks/stripe")
    yield _clock(found.ahead_seconds)


def _endpoint(found: SetUp, url: str) -> Finding:
    ours = [endpoint for endpoint in found.endpoints if endpoint.url == url and endpoint.enabled]
    if not ours:
        return Finding(Verdict.FAILED, f"no webhook endpoint sends to {url}", _RUN_SET_UP)
    if len(ours) > 1:
        advice = "delete all but the one whose secret is in STRIPE_WEBHOOK_SECRETS"
        return Finding(Verdict.LOOK, f"{len(ours)} webhook endpoints send to {url}", advice)
    if ours[0].missing:
        advice = f"add to it: {', '.join(sorted(ours[0].missing))}"
        return Finding(Verdict.FAILED, "the webhook endpoint does not send all we need", advice)
    if ours[0].api_version != API_VERSION:
        advice = f"it speaks {ours[0].api_version}; make a new one that speaks {API_VERSION}"
        return Finding(Verdict.LOOK, "the webhook endpoint speaks another API version", advice)
    return Finding(Verdict.OK, f"webhook endpoint {url}")


def _clock(ahead_seconds: float) -> Finding:
    apart = abs(ahead_seconds)
    what = f"this clock is {apart:.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} Stripe's"
    advice = "synchronise it: events that seem too old are refused"
    if apart > _CLOCK_FAILED_SECONDS:
        return Finding(Verdict.FAILED, what, advice)
    if apart > _CLOCK_LOOK_SECONDS:
        return Finding(Verdict.LOOK, what, advice)
    return Finding(Verdict.OK, "the clock agrees with Stripe's")


def _relay(settings: Settings, transport: SmtpTransport) -> Finding:
    relay = f"mail relay {settings.mail_server}:{settings.mail_port} ({settings.mail_security})"
    try:
        transport.greet()
    except MailDeferred as trouble:
        advice = "check the settings that begin with MAIL_"
        return Finding(Verdict.FAILED, f"{relay} does not take us ({trouble})", advice)
    return Finding(Verdict.OK, relay)


def _mail_names(domain: str, look_up: LookUp) -> Iterator[Finding]:
    """Look whether receivers can tell our mail from forged mail."""
    for kind, name, mark in (
        ("SPF", domain, "v=spf1"),
        ("DMARC", f"_dmarc.{domain}", "v=DMARC1"),
    ):
        try:
            there = any(text.startswith(mark) for text in look_up(name))
        except dns.exception.DNSException as trouble:
            what = f"{kind} of {domain} could not be checked ({type(trouble).__name__})"
            yield Finding(Verdict.LOOK, what, "ask a name server that answers")
            continue
        if there:
            yield Finding(Verdict.OK, f"{kind} record of {domain}")
        else:
            advice = f'publish a TXT record "{mark} ..." at {name}, as your relay describes'
            yield Finding(Verdict.LOOK, f"no {kind} record", advice)
