"""Amounts: group B of the abuse plan, and the arithmetic of money."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from donorportal.money import (
    CURRENCIES,
    AmountRefused,
    CurrencyMismatch,
    Money,
    covering_fee,
    parse_amount,
)

_OFFERED = sorted(CURRENCIES)


def _minor(text: str, code: str = "USD", locale: str = "en_US") -> int:
    return parse_amount(text, code, locale).minor


@pytest.mark.parametrize("text", ["0", "-5", "-0", "+5", "\u22125", "0.00", "", "   "])
def test_b1_nothing_negative_or_signed_is_an_amount(text: str) -> None:
    """B1: zero, negative and signed amounts are refused."""
    with pytest.raises(AmountRefused):
        _minor(text)


@pytest.mark.parametrize(
    "text", ["NaN", "inf", "1e9", "0x10", "1_000", "Infinity", "1E+9", "١٢٣", "１０", "10\n", "1 0"]
)
def test_b2_what_only_a_program_would_write_is_no_amount(text: str) -> None:
    """B2: other notations and other scripts' digits are refused."""
    with pytest.raises(AmountRefused):
        _minor(text)


@given(st.text(max_size=60))
def test_b2_no_text_is_read_as_something_else(text: str) -> None:
    """B2: whatever is typed is refused, or is an amount that says the same again."""
    try:
        money = parse_amount(text, "USD", "en_US")
    except AmountRefused:
        return
    assert text.isascii()
    assert Decimal(text.strip(" ").strip("$").strip(" ").replace(",", "")) == money.decimal


@pytest.mark.parametrize(
    ("text", "locale", "minor"),
    [
        ("1,000.50", "en_US", 100050),
        ("1.000,50", "de_DE", 100050),
        ("10,00", "de_DE", 1000),
        ("1 000,50", "fr_FR", 100050),
        ("$50", "en_US", 5000),
        ("50 $", "en_US", 5000),
    ],
)
def test_b4_amounts_follow_the_locale(text: str, locale: str, minor: int) -> None:
    """B4: the marks of the page's locale decide."""
    assert minor == _minor(text, "USD", locale)


@pytest.mark.parametrize(
    ("text", "locale"), [("10,00", "en_US"), ("1.000,50", "en_US"), ("1,000.50", "de_DE")]
)
def test_b4_ambiguous_amounts_are_asked_about(text: str, locale: str) -> None:
    """B4: what is an amount somewhere else is refused with an example, not guessed at."""
    with pytest.raises(AmountRefused, match="not sure which amount"):
        _minor(text, "USD", locale)


def test_b5_excess_digits_are_refused() -> None:
    """B5: a tenth of a cent is refused."""
    with pytest.raises(AmountRefused, match="at most 2 decimals"):
        _minor("10.005")


@given(st.integers(min_value=200, max_value=5_000_000))
def test_b5_every_cent_survives(minor: int) -> None:
    """B5: every amount to the cent is read as exactly that."""
    assert minor == _minor(f"{minor // 100}.{minor % 100:02d}")


@pytest.mark.parametrize("code", _OFFERED)
@given(data=st.data())
def test_b5_what_is_shown_can_be_typed(code: str, data: st.DataObject) -> None:
    """Every currency: the amount as shown, without its sign, is read as the same amount."""
    kind = CURRENCIES[code]
    steps = st.integers(kind.minimum // kind.step + 1, kind.maximum // kind.step)
    money = Money(data.draw(steps) * kind.step, code)
    shown = "".join(mark for mark in money.exact("en_US") if mark in "0123456789.,")

    assert money == parse_amount(shown, code, "en_US")


def test_b7_yen_have_no_decimals() -> None:
    """B7: 500 yen are 500 minor units and shown without decimals."""
    money = parse_amount("500", "JPY", "en_US")

    assert (500, "¥500") == (money.minor, money.text("en_US"))
    with pytest.raises(AmountRefused, match="no smaller unit"):
        _minor("500.50", "JPY")


def test_b8_three_decimals_end_in_zero() -> None:
    """B8: dinars are thousandths, of which Stripe takes only multiples of ten."""
    assert 1230 == _minor("1.230", "KWD")
    with pytest.raises(AmountRefused, match="ending in 0"):
        _minor("1.234", "KWD")


@pytest.mark.parametrize("code", ["ISK", "UGX", "HUF", "TWD"])
def test_b9_two_decimals_that_must_be_zero(code: str) -> None:
    """B9: these are sent with two decimals and given in whole units only."""
    least = CURRENCIES[code].minimum // 100

    assert (least + 1) * 100 == _minor(str(least + 1), code)
    with pytest.raises(AmountRefused, match="a whole amount"):
        _minor(f"{least + 1}.50", code)


@pytest.mark.parametrize("code", ["usd", "USD ", "ＵＳＤ", "XXX", "", "USD\u0000"])
def test_b10_only_known_currencies(code: str) -> None:
    """B10: a currency is one of ours to the letter, or refused."""
    with pytest.raises(AmountRefused):
        _minor("50", code)


@given(st.sampled_from(_OFFERED), st.integers(1, 10**9), st.integers(0, 2000))
def test_covering_the_fee_leaves_at_least_the_gift(code: str, steps: int, points: int) -> None:
    """After the fee on the whole sum, the gift remains, and not a step more than that."""
    kind = CURRENCIES[code]
    gift = Money(steps * kind.step, code)

    total = covering_fee(gift, points)

    def left(minor: int) -> int:
        return minor * (10_000 - points) - kind.card_fee_fixed * 10_000

    assert left(total.minor) >= gift.minor * 10_000
    assert left(total.minor - kind.step) < gift.minor * 10_000
    assert total.minor % kind.step == 0


def test_currencies_do_not_mix() -> None:
    """Adding euros to dollars is an error, and so is a fraction of a cent."""
    with pytest.raises(CurrencyMismatch):
        Money(1, "USD") + Money(1, "EUR")
    with pytest.raises(TypeError):
        Money(1.0, "USD")  # type: ignore[arg-type]


@given(st.integers(), st.integers(), st.integers())
def test_money_adds_up_like_integers(one: int, two: int, three: int) -> None:
    """Sums do not depend on their order, and every amount has an opposite."""
    a, b, c = Money(one, "EUR"), Money(two, "EUR"), Money(three, "EUR")

    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a - a == Money(0, "EUR") == a + -a


def test_k4_a_huge_text_is_refused_at_once() -> None:
    """K4: fifty thousand characters take no time."""
    started = time.perf_counter()
    for text in ("1" * 50_000, "1," * 25_000, " " * 50_000, "1.1" * 16_000):
        with pytest.raises(AmountRefused):
            _minor(text)

    assert time.perf_counter() - started < 0.2
