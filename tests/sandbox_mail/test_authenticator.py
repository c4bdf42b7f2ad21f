"""The authenticator page against pyotp itself."""

import re

import pyotp
import pytest
import time_machine
from flask.testing import FlaskClient

KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.mark.parametrize(
    "typed",
    [
        KEY,
        "jbsw y3dp ehpk 3pxp jbsw-y3dp-ehpk-3pxp",
        pyotp.TOTP(KEY).provisioning_uri(name="staff@charity.example", issuer_name="Open Door"),
    ],
)
def test_it_shows_the_code_a_telephone_would(web: FlaskClient, typed: str) -> None:
    """The page and pyotp agree on the current code, and on how long it stays valid."""
    with time_machine.travel("2026-11-22 12:00:10Z", tick=False):
        page = web.post("/authenticator", data={"key": typed})

        assert page.status_code == 200
        assert shown_code(page.text) == pyotp.TOTP(KEY).now()
        assert "Valid for 20 more\n" in page.text


def test_periods_and_digits_of_the_address_count(web: FlaskClient) -> None:
    """An otpauth address may ask for another length or period, and gets it."""
    totp = pyotp.TOTP(KEY, digits=8, interval=60)

    with time_machine.travel("2026-11-22 12:00:40Z", tick=False):
        page = web.post(
            "/authenticator", data={"key": totp.provisioning_uri(name="a@charity.example")}
        )

        assert shown_code(page.text) == totp.now()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "not a key!",
        "JBSWY3DP",
        "\u00e9" * 32,
        "otpauth://[",
        "otpauth://totp/",
        f"otpauth://hotp/x?secret={KEY}",
        f"otpauth://totp/x?secret={KEY}&period=0",
        f"otpauth://totp/x?secret={KEY}&period=-30",
        f"otpauth://totp/x?secret={KEY}&digits=0",
        f"otpauth://totp/x?secret={KEY}&digits=99",
        f"otpauth://totp/x?secret={KEY}&algorithm=none",
        f"otpauth://totp/x?secret={KEY}&period={'9' * 4000}",
        f"otpauth://totp/x?secret={KEY}&period={'9' * 5000}",
    ],
)
def test_what_is_no_key_is_explained(web: FlaskClient, typed: str) -> None:
    """A wrong key keeps what was typed and says what to paste."""
    page = web.post("/authenticator", data={"key": typed})

    assert page.status_code == 422
    assert "This is no authenticator key." in page.text
    assert "code-digits" not in page.text


def test_the_empty_page_says_what_it_is(web: FlaskClient) -> None:
    """The page calls itself a development aid and shows no code before a key is typed."""
    page = web.get("/authenticator")

    assert page.status_code == 200
    assert "A development aid." in page.text
    assert "code-digits" not in page.text


def shown_code(page: str) -> str:
    """Return the digits on the page."""
    found = re.search(r'class="code-digits">(\d+)<', page)
    assert found is not None
    return found.group(1)
