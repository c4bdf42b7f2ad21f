"""A half-configured or dangerous installation does not start (L16)."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from donorportal.config import ConfigurationRefused, Settings

_GOOD = {
    "SECRET_KEY": "k" * 40,
    "PUBLIC_URL": "https://give.example.org",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "MAIL_SERVER": "smtp.example.org",
    "MAIL_FROM": "Open Door <giving@example.org>",
}
_LIVE = _GOOD | {"STRIPE_SECRET_KEY": "sk_live_1"}


def test_l16_the_least_that_is_needed_is_enough() -> None:
    """Six variables make an installation; everything else has a default."""
    settings = Settings.from_environment(_GOOD)

    assert ("https://api.stripe.com", False) == (settings.stripe_api_base, settings.livemode)
    assert "example.org" == settings.mail_domain


@pytest.mark.parametrize("name", sorted(_GOOD))
@pytest.mark.parametrize("value", ["", "  ", "x"])
def test_l16_each_missing_or_senseless_variable_is_named(name: str, value: str) -> None:
    """L16: the refusal names the variable."""
    if (name, value) == ("MAIL_SERVER", "x"):
        return
    with pytest.raises(ConfigurationRefused, match=name):
        Settings.from_environment(_GOOD | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIL_PORT", "0"),
        ("MAIL_PORT", "２５"),
        ("MAIL_SECURITY", "maybe"),
        ("MAIL_FROM", "a@example.org\r\nBcc: b@example.org"),
        ("TRUSTED_PROXIES", "-1"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "https://example.org/?x=1"),
        ("SECRET_KEY_FALLBACKS", "short"),
        ("ORGANISATION_TIME_ZONE", "Mars/Olympus"),
        ("ORGANISATION_LOCALE", "xx_YY"),
        ("ORGANISATION_CURRENCIES", "USD,XXX"),
        ("ORGANISATION_FISCAL_YEAR_START", "13"),
        ("EMBEDDED_WORKER", "yes"),
        ("RECONCILE", "weekly"),
        ("SECURITY_CONTACT", "nobody"),
    ],
)
def test_l16_malformed_values_are_named(name: str, value: str) -> None:
    """A value that cannot be meant is refused by name."""
    with pytest.raises(ConfigurationRefused, match=name):
        Settings.from_environment(_GOOD | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_API_BASE", "http://127.0.0.1:8010"),
        ("PUBLIC_URL", "http://give.example.org"),
        ("MAIL_SECURITY", "none"),
    ],
)
def test_l16_a_live_key_is_refused_among_test_settings(name: str, value: str) -> None:
    """Real money is never taken half-way into a test set-up."""
    assert Settings.from_environment(_LIVE).livemode
    with pytest.raises(ConfigurationRefused, match=name):
        Settings.from_environment(_LIVE | {name: value})


def test_every_setting_is_documented() -> None:
    """.env.example names each variable that the program reads, and none that it does not."""
    root = Path(__file__).resolve().parent.parent
    read = set(re.findall(r'"([A-Z][A-Z_]{3,})"', (root / "donorportal/config.py").read_text()))
    documented = set(
        re.findall(r"^#?([A-Z][A-Z_]{3,})=", (root / ".env.example").read_text(), re.MULTILINE)
    )

    assert read == documented
    assert 10 < len(fields(Settings))
