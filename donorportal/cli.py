"""The commands."""

import os
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TextIO

import click
import sqlalchemy as sa
from alembic.util import CommandError

from donorportal import clock, logs, schema
from donorportal.access.people import Role
from donorportal.app import create_app, gateway_for
from donorportal.config import ConfigurationRefused, Settings
from donorportal.db import db, reading_session, snapshot, writing_session
from donorportal.donors.addresses import AddressRefused
from donorportal.mail.transport import Patience, SmtpTransport
from donorportal.payments.gateway import GatewayRejected, GatewayUnavailable

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
@click.version_option(package_name="donorportal")
def main() -> None:
    """Run and look after a donorportal installation."""
    logs.configure()


def _settings() -> Settings:
    try:
        return Settings.from_environment(os.environ)  # noqa: TID251 - handed to config.py
    except ConfigurationRefused as refused:
        raise click.ClickException(f"{refused} See .env.example.") from None


def _engine() -> sa.Engine:
    app = create_app(_settings())
    with app.app_context():
        return db.engine


@main.command()
@click.option("--port", default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--workers", default=1, show_default=True, help="Processes.")
@click.option("--threads", default=8, show_default=True, help="Threads of each process.")
def serve(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the site with gunicorn."""
    from donorportal.serving import run  # noqa: PLC0415 - gunicorn is not needed otherwise

    run(_settings(), bind=f"{host}:{port}", workers=workers, threads=threads)


@main.command()
def worker() -> None:
    """Do queued work in a process of its own."""
    from donorportal.worker import run_worker  # noqa: PLC0415 - keeps the other commands light

    run_worker(_settings())


@main.command()
@click.option("--port", default=8010, show_default=True)
@click.option("--smtp-port", default=8025, show_default=True)
@click.option("--database", type=click.Path(path_type=Path), default=Path("sandbox.db"))
def sandbox(port: int, smtp_port: int, database: Path) -> None:
    """Stand in for Stripe and for the mail relay; no money moves."""
    from donorportal.sandbox.serve import run  # noqa: PLC0415 - another program

    run(database=database, port=port, smtp_port=smtp_port)


@main.group("db")
def database() -> None:
    """Look after the database."""


@database.command("upgrade")
def upgrade() -> None:
    """Run the migrations that are missing; a new database gets its first designations."""
    from donorportal.giving.starting import base_data  # noqa: PLC0415 - not needed otherwise

    engine = _engine()
    schema.upgrade(engine)
    with writing_session(engine) as session:
        base_data(session)
    click.echo("The database is up to date.")


@database.command("check")
def check_database() -> None:
    """Compare the database with the program; exit 1 when they differ."""
    try:
        schema.check(_engine())
    except CommandError as difference:
        click.echo(f"The database differs: {difference}")
        sys.exit(1)
    click.echo("The database is as the program expects.")


@main.command()
@click.option("--donors", default=2_000, show_default=True)
@click.option("--gifts", default=20_000, show_default=True)
@click.option("--seed", "number", default=1, show_default=True, help="Another seed, other people.")
def seed(donors: int, gifts: int, number: int) -> None:
    """Fill an empty database with invented donors and gifts."""
    from donorportal.giving import seeding  # noqa: PLC0415 - only for demonstrations

    settings = _settings()
    if settings.livemode:
        raise click.ClickException("Invented gifts do not belong beside real ones.")
    engine = _engine()
    with click.progressbar(length=gifts, label="Gifts") as bar:
        try:
            result = seeding.seed(
                engine,
                donors=donors,
                gifts=gifts,
                seed=number,
                today=_today(settings),
                progress=bar.update,
            )
        except seeding.SeedRefused as refused:
            raise click.ClickException(str(refused)) from None
    click.echo(str(result))


@main.command()
@click.option("--secret-file", type=click.Path(path_type=Path), default=Path("var/webhook-secret"))
def demo(secret_file: Path) -> None:
    """Fill a first run with invented content and register with the sandbox."""
    from donorportal import demonstration  # noqa: PLC0415 - only for demonstrations

    settings = _setup_settings()
    if settings.livemode:
        raise click.ClickException("The demonstration does not run with a live key.")
    engine = _engine()
    demonstration.prepare(engine, settings)
    demonstration.register(settings, gateway_for(settings), secret_file)
    invitation = demonstration.staff_invitation(engine, settings)
    click.echo(f"  Sign in as a donor             {demonstration.some_donor(engine)}")
    click.echo(f"  Sign in as staff               {demonstration.STAFF_EMAIL}")
    if invitation:
        click.echo(f"  Set up the staff account first {invitation}")
    click.echo("  Codes arrive in the mailbox; the sandbox has an authenticator, too.")


@main.group()
def staff() -> None:
    """Look after staff accounts."""


@staff.command()
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--name", default="")
def invite(email: str, role: str, name: str) -> None:
    """Invite a staff member; the link is printed and mailed."""
    from donorportal.access import staff_accounts  # noqa: PLC0415 - keeps other commands light

    settings = _settings()
    with writing_session(_engine()) as session:
        link = staff_accounts.invite(session, settings, email, Role(role), name)
    click.echo(f"{email} can sign in as {role} after opening this link within 7 days:\n{link}")


@staff.command("list")
def list_staff() -> None:
    """Show every staff member with role and standing."""
    from donorportal.access import staff_accounts  # noqa: PLC0415 - keeps other commands light

    with reading_session(_engine()) as session:
        colleagues = staff_accounts.everybody(session)
    widest = max((len(colleague.email) for colleague in colleagues), default=0)
    for colleague in colleagues:
        click.echo(f"{colleague.email:<{widest}}  {colleague.role:<8}  {colleague.standing}")
    if not colleagues:
        click.echo('Nobody yet: "donorportal staff invite EMAIL --role owner" invites the first.')


@staff.command()
@click.argument("email")
def disable(email: str) -> None:
    """Shut a staff member out at once."""
    from donorportal.access import staff_accounts  # noqa: PLC0415 - keeps other commands light

    with writing_session(_engine()) as session:
        try:
            staff_id = staff_accounts.find(session, email)
            if staff_id is None:
                raise click.ClickException(f"{email} is no staff member. Nothing was changed.")
            fresh = staff_accounts.disable(session, staff_id, actor="system")
        except AddressRefused as refused:
            raise click.ClickException(f"{refused} Nothing was changed.") from None
        except staff_accounts.LastOwner:
            raise click.ClickException(
                f"{email} is the last active owner, without whom nobody could look after the"
                " others. Nothing was changed. Invite another owner first, and let them set up"
                " their account."
            ) from None
    if not fresh:
        click.echo(f"{email} was disabled before. Nothing was changed.")
        return
    click.echo(
        f"{email} is signed out everywhere at once and cannot sign in any more. What they did"
        " stays on record. To let them in again, invite them again."
    )


@main.command()
@click.option("--since", type=_DAY, help="Compare what was created since this day.")
@click.option("--fix", is_flag=True, help="Repair what is safe to repair.")
def reconcile(since: datetime | None, fix: bool) -> None:
    """Compare the books with Stripe; exit 0 when they agree, 1 when they differ."""
    from donorportal import reconciling  # noqa: PLC0415 - keeps other commands light

    settings = _settings()
    engine, gateway = _engine(), gateway_for(settings)
    try:
        agree = reconciling.at_terminal(engine, gateway, settings, since=since, fix=fix)
    except reconciling.NotNow as reason:
        click.echo(str(reason), err=True)
        sys.exit(2)
    if not agree:
        sys.exit(1)


@main.group()
def ledger() -> None:
    """Look after the books."""


@ledger.command("check")
def check_ledger() -> None:
    """Check the invariants of the books; exit 1 when one does not hold."""
    from donorportal.giving import books  # noqa: PLC0415 - keeps other commands light

    with snapshot(_engine()) as connection:
        _stop_if_wrong(books.violations(connection))
    click.echo("The books balance.")


@ledger.command("resume")
def resume_posting() -> None:
    """Let posting go on after a halt; refused while the books are wrong."""
    from donorportal.giving import guarding  # noqa: PLC0415 - keeps other commands light

    _stop_if_wrong(guarding.resume(_engine(), by="operator"))
    click.echo("The books balance; posting goes on.")


@ledger.command("journal")
@click.option("--from", "first", type=_DAY, required=True, help="The first day.")
@click.option("--to", "last", type=_DAY, required=True, help="The last day, included.")
@click.option("--account", help="Only this account, such as bank or gifts:aftercare.")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=False))
def export_journal(first: datetime, last: datetime, account: str | None, file: TextIO) -> None:
    """Write every posting of a period as CSV into FILE, or to the terminal for "-"."""
    from donorportal.ledger import journal  # noqa: PLC0415 - keeps other commands light
    from donorportal.spreadsheet import pieces  # noqa: PLC0415

    try:
        period = journal.Period(first.date(), last.date())
    except journal.PeriodRefused as refused:
        raise click.ClickException(str(refused)) from None
    with snapshot(_engine()) as connection:
        file.writelines(pieces(journal.rows(connection, period, account=account)))


def _stop_if_wrong(found: list[str]) -> None:
    for sentence in found:
        click.echo(sentence)
    if found:
        sys.exit(1)


@main.command()
def doctor() -> None:
    """Check settings, database, Stripe, mail relay and queues; exit 1 when something fails."""
    from donorportal import doctor as checks  # noqa: PLC0415 - keeps other commands light

    settings = _settings()
    transport = SmtpTransport(settings, Patience(connect=5, command=10))
    failed = False
    for found in checks.examine(settings, _engine(), gateway_for(settings), transport):
        click.echo(str(found))
        failed = failed or found.verdict == checks.Verdict.FAILED
    if failed:
        sys.exit(1)


@main.group()
def stripe() -> None:
    """Look after the Stripe account."""


@stripe.command()
def setup() -> None:
    """Create our products and the webhook endpoint, and print its signing secret."""
    settings = _setup_settings()
    try:
        secret = gateway_for(settings).set_up(
            public_url=settings.public_url, organisation=settings.organisation.name
        )
    except (GatewayUnavailable, GatewayRejected) as trouble:
        raise click.ClickException(f"Stripe could not be set up: {trouble}") from None
    click.echo(f"STRIPE_WEBHOOK_SECRETS={secret}")


def _setup_settings() -> Settings:
    """Read the settings where the webhook secret is only about to be made."""
    environment = {"STRIPE_WEBHOOK_SECRETS": "whsec_none_yet"} | dict(os.environ)  # noqa: TID251
    try:
        return Settings.from_environment(environment)
    except ConfigurationRefused as refused:
        raise click.ClickException(f"{refused} See .env.example.") from None


def _today(settings: Settings) -> date:
    return clock.local_date(clock.now(), settings.organisation.time_zone)
