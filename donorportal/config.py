"""The settings: read once from the environment, checked, and refused when dangerous."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError

from donorportal.money import CURRENCIES

_STRIPE_API = "https://api.stripe.com"
_SHORTEST_SECRET = 32
# How donors can pay, in Stripe's words, and the currency that a bank debit is limited to.
_PAYMENT_METHODS = {
    "card": None,
    "us_bank_account": "USD",
    "bacs_debit": "GBP",
    "sepa_debit": "EUR",
}


class ConfigurationRefused(Exception):  # noqa: N818 - named for what happened, like every refusal
    """A setting is missing, malformed or dangerous; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who runs this installation."""

    name: str
    legal_name: str
    ein: str
    address_lines: tuple[str, ...]
    mission: str
    time_zone: str
    fiscal_year_start: int
    """The month, 1 to 12."""
    currencies: tuple[str, ...]
    locale: str
    programme_name: str
    """What somebody who gives monthly is called in public."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between two installations."""

    secret_key: str
    secret_key_fallbacks: tuple[str, ...]
    database_url: str
    public_url: str
    """Where donors reach us, without a slash at the end."""
    stripe_secret_key: str
    stripe_webhook_secrets: tuple[str, ...]
    stripe_api_base: str
    """Stripe's own address, or the sandbox's."""
    payment_methods: tuple[str, ...]
    """How donors can pay, in Stripe's words."""
    refund_warned_gifts_up_to: int
    """In whole units of a gift's currency; 0 leaves every warning of fraud to a person."""
    monthly_mistake_days: int
    """For how many days a new monthly gift may still be made a single one."""
    reconcile: str
    """``nightly``, ``manual`` or ``off``."""
    card_fee_basis_points: int
    checkout_limit_factor: int
    """Multiplies the limits on gifts and codes from one place, where many share an address."""
    mail_server: str
    mail_port: int
    mail_username: str | None
    mail_password: str | None
    mail_security: str
    """``none``, ``starttls`` or ``tls``."""
    mail_from: str
    broker_url: str | None
    embedded_worker: bool
    trusted_proxies: int
    """How many proxies in front of us add to X-Forwarded-For."""
    metrics_token: str | None
    security_contact: str
    """Where to report a weakness: a mailto: or https: address."""
    operators_email: str
    """Who is told when the books are found to be wrong."""
    organisation: Organisation

    @property
    def livemode(self) -> bool:
        """Whether real money moves."""
        return self.stripe_secret_key.startswith(("sk_live_", "rk_live_"))

    def methods_for(self, currency: str) -> tuple[str, ...]:
        """Return how a gift in *currency* can be paid."""
        return tuple(
            method
            for method in self.payment_methods
            if _PAYMENT_METHODS[method] in {None, currency}
        )

    @property
    def public_host(self) -> str:
        """The host name under which donors reach us."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def mail_domain(self) -> str:
        """The domain of our sender address, used in message ids."""
        return parseaddr(self.mail_from)[1].rpartition("@")[2]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings.

        Raises:
            ConfigurationRefused: Naming the variable that is missing, malformed or dangerous.

        """
        read = _Reader(environ)
        settings = cls(
            secret_key=read.secret("SECRET_KEY"),
            secret_key_fallbacks=read.listed("SECRET_KEY_FALLBACKS"),
            database_url=read.text("DATABASE_URL", "sqlite:///donorportal.db"),
            public_url=read.url("PUBLIC_URL"),
            stripe_secret_key=read.text("STRIPE_SECRET_KEY"),
            stripe_webhook_secrets=read.listed("STRIPE_WEBHOOK_SECRETS"),
            stripe_api_base=read.url("STRIPE_API_BASE", _STRIPE_API),
            payment_methods=read.payment_methods("STRIPE_PAYMENT_METHODS"),
            refund_warned_gifts_up_to=read.number("REFUND_WARNED_GIFTS_UP_TO", 0, 0, 100_000),
            monthly_mistake_days=read.number("MONTHLY_MISTAKE_DAYS", 14, 0, 60),
            reconcile=read.choice("RECONCILE", ("nightly", "manual", "off")),
            card_fee_basis_points=read.number("CARD_FEE_BASIS_POINTS", 290, 0, 2000),
            checkout_limit_factor=read.number("CHECKOUT_LIMIT_FACTOR", 1, 1, 1000),
            mail_server=read.text("MAIL_SERVER"),
            mail_port=read.number("MAIL_PORT", 587, 1, 65535),
            mail_username=read.optional("MAIL_USERNAME"),
            mail_password=read.optional("MAIL_PASSWORD"),
            mail_security=read.choice("MAIL_SECURITY", ("starttls", "tls", "none")),
            mail_from=read.mailbox("MAIL_FROM"),
            broker_url=read.optional("BROKER_URL"),
            embedded_worker=read.choice("EMBEDDED_WORKER", ("on", "off")) == "on",
            trusted_proxies=read.number("TRUSTED_PROXIES", 0, 0, 10),
            metrics_token=read.optional("METRICS_TOKEN"),
            security_contact=read.contact("SECURITY_CONTACT", read.text("MAIL_FROM")),
            operators_email=_operators(read),
            organisation=_organisation(read),
        )
        return _refuse_dangerous(settings)


def _organisation(read: "_Reader") -> Organisation:
    name = read.text("ORGANISATION_NAME", "Open Door")
    return Organisation(
        name=name,
        legal_name=read.text("ORGANISATION_LEGAL_NAME", name),
        ein=read.text("ORGANISATION_EIN", "00-0000000"),
        address_lines=read.listed("ORGANISATION_ADDRESS", "|"),
        mission=read.text(
            "ORGANISATION_MISSION",
            "We work with local partners to free people from trafficking and violence.",
        ),
        time_zone=read.time_zone("ORGANISATION_TIME_ZONE", "America/New_York"),
        fiscal_year_start=read.number("ORGANISATION_FISCAL_YEAR_START", 1, 1, 12),
        currencies=read.currencies("ORGANISATION_CURRENCIES", "USD,GBP,EUR,DOP,JPY"),
        locale=read.locale("ORGANISATION_LOCALE", "en_US"),
        programme_name=read.text("ORGANISATION_PROGRAMME_NAME", "Freedom Partner"),
    )


def _operators(read: "_Reader") -> str:
    """Return who looks after the site: named as such, or else whoever is named for weaknesses."""
    if read.optional("OPERATORS_EMAIL"):
        return parseaddr(read.mailbox("OPERATORS_EMAIL"))[1]
    contact = read.contact("SECURITY_CONTACT", read.text("MAIL_FROM"))
    fallback = parseaddr(read.mailbox("MAIL_FROM"))[1]
    return contact.removeprefix("mailto:") if contact.startswith("mailto:") else fallback


def _refuse_dangerous(settings: Settings) -> Settings:
    """Stop what could take real money by mistake, or take events from anybody."""
    if any(len(key) < _SHORTEST_SECRET for key in settings.secret_key_fallbacks):
        raise ConfigurationRefused("SECRET_KEY_FALLBACKS holds a key that is too short.")
    if not settings.stripe_secret_key.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
        raise ConfigurationRefused("STRIPE_SECRET_KEY is not a secret key of Stripe's.")
    if not settings.stripe_webhook_secrets or not all(
        secret.startswith("whsec_") and len(secret) > len("whsec_")
        for secret in settings.stripe_webhook_secrets
    ):
        raise ConfigurationRefused(
            "STRIPE_WEBHOOK_SECRETS must list the signing secrets (whsec_…) of the endpoint;"
            " without one anybody could report a payment."
        )
    if settings.livemode:
        _refuse_half_live(settings)
    return settings


def _refuse_half_live(settings: Settings) -> None:
    if settings.stripe_api_base != _STRIPE_API:
        raise ConfigurationRefused(
            "STRIPE_SECRET_KEY is a live key but STRIPE_API_BASE is not Stripe's own address."
        )
    if not settings.public_url.startswith("https://"):
        raise ConfigurationRefused("PUBLIC_URL must be https:// when STRIPE_SECRET_KEY is live.")
    if settings.mail_security == "none":
        raise ConfigurationRefused("MAIL_SECURITY must not be none when STRIPE_SECRET_KEY is live.")


class _Reader:
    """Reads one variable at a time and names it when it is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def optional(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def text(self, name: str, default: str | None = None) -> str:
        value = self.optional(name) or default
        if value is None:
            raise ConfigurationRefused(f"{name} is not set.")
        return value

    def secret(self, name: str) -> str:
        value = self.text(name)
        if len(value) < _SHORTEST_SECRET:
            raise ConfigurationRefused(
                f"{name} is too short: it needs at least {_SHORTEST_SECRET} characters."
            )
        return value

    def listed(self, name: str, separator: str = ",") -> tuple[str, ...]:
        parts = (self.optional(name) or "").split(separator)
        return tuple(part.strip() for part in parts if part.strip())

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ConfigurationRefused(f"{name} must be a number from {least} to {most}.")
        return int(text)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Read one of *allowed*, of which the first is the default."""
        value = self.text(name, allowed[0])
        if value not in allowed:
            raise ConfigurationRefused(f"{name} must be one of {', '.join(allowed)}.")
        return value

    def url(self, name: str, default: str | None = None) -> str:
        value = self.text(name, default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ConfigurationRefused(f"{name} must be an http or https address.")
        return value

    def mailbox(self, name: str) -> str:
        value = self.text(name)
        if "@" not in parseaddr(value)[1] or any(mark in value for mark in "\r\n"):
            raise ConfigurationRefused(f"{name} must be an e-mail address.")
        return value

    def contact(self, name: str, default: str) -> str:
        """Read an https or an e-mail address, as an address that a link can have."""
        value = self.text(name, default)
        if value.startswith("https://"):
            return self.url(name, default)
        if "@" not in parseaddr(value)[1] or not value.isprintable():
            raise ConfigurationRefused(f"{name} must be an e-mail or https address.")
        return f"mailto:{parseaddr(value)[1]}"

    def time_zone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationRefused(f"{name} is not a time zone: {value}.") from None
        return value

    def locale(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            Locale.parse(value)
        except (UnknownLocaleError, ValueError):
            raise ConfigurationRefused(f"{name} is not a locale: {value}.") from None
        return value

    def payment_methods(self, name: str) -> tuple[str, ...]:
        methods = self.listed(name) or ("card",)
        if "card" not in methods or not set(methods) <= set(_PAYMENT_METHODS):
            raise ConfigurationRefused(
                f"{name} must list card, and may list {', '.join(_PAYMENT_METHODS)}."
            )
        return methods

    def currencies(self, name: str, default: str) -> tuple[str, ...]:
        codes = tuple(code.strip() for code in self.text(name, default).split(","))
        unknown = [code for code in codes if code not in CURRENCIES]
        if unknown:
            raise ConfigurationRefused(f"{name} lists a currency we do not know: {unknown[0]}.")
        return codes
