"""Amounts as integers of the smallest unit, and the one table of currencies."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import (
    format_currency,
    get_currency_symbol,
    get_decimal_symbol,
    get_group_symbol,
)


class AmountRefused(ValueError):  # noqa: N818 - named for what happened, like every refusal here
    """A typed amount that we will not guess at; the message is written for the donor."""


class CurrencyMismatch(ValueError):  # noqa: N818 - the same
    """Two amounts of different currencies met in one calculation."""


@dataclass(frozen=True, slots=True)
class Currency:
    """What one currency allows.

    Attributes:
        exponent: Decimal digits between the unit people write and the minor unit Stripe takes.
        step: Amounts must be a multiple of so many minor units.
        minimum, maximum: Limits of one gift, in minor units.
        suggested, suggested_monthly: Amounts offered as tiles, in minor units.
        card_fee_fixed: The fixed part of a card fee, in minor units.

    """

    code: str
    exponent: int
    step: int
    minimum: int
    maximum: int
    suggested: tuple[int, ...]
    suggested_monthly: tuple[int, ...]
    card_fee_fixed: int

    @property
    def unit(self) -> int:
        """Minor units in one unit as people write it."""
        return int(10**self.exponent)


def _currency(  # noqa: PLR0917 - a row of the table below
    code: str,
    minimum: int,
    maximum: int,
    once: tuple[int, ...],
    monthly: tuple[int, ...],
    fee: int,
    *,
    exponent: int = 2,
    step: int = 1,
) -> Currency:
    unit = int(10**exponent)
    return Currency(
        code=code,
        exponent=exponent,
        step=step,
        minimum=minimum * unit,
        maximum=maximum * unit,
        suggested=tuple(amount * unit for amount in once),
        suggested_monthly=tuple(amount * unit for amount in monthly),
        card_fee_fixed=fee,
    )


# The currencies in which donors may give, and those in which Stripe may credit us. Stripe takes
# amounts of at most eight digits in minor units.
# Exponents and steps follow Stripe's list of currencies: the króna and the shilling are sent with
# two decimals that must be zero, three-decimal currencies must end in a zero, and forint and new
# Taiwan dollars are paid out in whole units, so we only take whole ones.
CURRENCIES = {
    currency.code: currency
    for currency in (
        _currency("USD", 2, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 30),
        _currency("GBP", 2, 50_000, (40, 80, 200, 400), (10, 25, 40, 80), 20),
        _currency("EUR", 2, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 25),
        _currency("CAD", 3, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 30),
        _currency("AUD", 3, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 30),
        _currency("NZD", 4, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 30),
        _currency("CHF", 2, 50_000, (50, 100, 250, 500), (15, 30, 50, 100), 30),
        _currency("SEK", 20, 500_000, (500, 1000, 2500, 5000), (150, 300, 500, 1000), 180),
        _currency("NOK", 20, 500_000, (500, 1000, 2500, 5000), (150, 300, 500, 1000), 200),
        _currency("DKK", 15, 350_000, (350, 700, 1750, 3500), (100, 200, 350, 700), 180),
        _currency("PLN", 10, 200_000, (200, 400, 1000, 2000), (50, 100, 200, 400), 100),
        _currency("SGD", 3, 60_000, (50, 100, 250, 500), (15, 30, 50, 100), 50),
        _currency("HKD", 15, 400_000, (400, 800, 2000, 4000), (100, 200, 400, 800), 235),
        _currency("MXN", 40, 900_000, (1000, 2000, 5000, 10000), (300, 500, 1000, 2000), 300),
        _currency("DOP", 100, 900_000, (2500, 5000, 12500, 25000), (750, 1500, 2500, 5000), 1500),
        _currency(
            "JPY",
            300,
            7_500_000,
            (5000, 10000, 30000, 50000),
            (1500, 3000, 5000, 10000),
            40,
            exponent=0,
        ),
        _currency("KWD", 1, 15_000, (15, 30, 75, 150), (5, 10, 15, 30), 100, exponent=3, step=10),
        _currency(
            "ISK",
            300,
            900_000,
            (5000, 10000, 30000, 50000),
            (2000, 4000, 7000, 14000),
            4000,
            step=100,
        ),
        _currency(
            "UGX",
            7500,
            900_000,
            (50_000, 100_000, 200_000, 500_000),
            (20_000, 40_000, 100_000, 200_000),
            110_000,
            step=100,
        ),
        _currency(
            "HUF",
            700,
            900_000,
            (15_000, 30_000, 75_000, 150_000),
            (5000, 10_000, 15_000, 30_000),
            10_500,
            step=100,
        ),
        _currency(
            "TWD",
            60,
            900_000,
            (1500, 3000, 7500, 15_000),
            (500, 1000, 1500, 3000),
            900,
            step=100,
        ),
    )
}


def currency(code: str) -> Currency:
    """Return the currency called *code*.

    Raises:
        AmountRefused: We do not know this currency, so we do not know how to count it.

    """
    try:
        return CURRENCIES[code]
    except KeyError:
        raise AmountRefused("Please choose one of the currencies offered.") from None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, yen) of a known currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"minor units are integers, not {type(self.minor).__name__}")
        currency(self.currency)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not add up")
        return other.minor

    @property
    def decimal(self) -> Decimal:
        """The amount as people write it."""
        return Decimal(self.minor).scaleb(-currency(self.currency).exponent)

    def text(self, locale: str = "en_US") -> str:
        """Say the amount as briefly as is exact: "$30", "$30.50", "¥500"."""
        return _text(
            self.minor, self.currency, locale, self.minor % currency(self.currency).unit == 0
        )

    def exact(self, locale: str = "en_US") -> str:
        """Say the amount with all its decimals, for columns of figures: "$30.00"."""
        return _text(self.minor, self.currency, locale, whole=False)


@lru_cache(maxsize=4096)
def _text(minor: int, code: str, locale: str, whole: bool) -> str:
    exponent = 0 if whole else CURRENCIES[code].exponent
    pattern = Locale.parse(locale).currency_formats["standard"].pattern
    digits = "0" * exponent
    shown = re.sub(r"0\.0+", f"0.{digits}" if digits else "0", pattern)
    value = Decimal(minor).scaleb(-CURRENCIES[code].exponent)
    return format_currency(value, code, shown, locale=locale, currency_digits=False)


def parse_amount(text: str, code: str, locale: str = "en_US", *, limited: bool = True) -> Money:
    """Read an amount that a person typed, by the marks of *locale*.

    Only ASCII digits count. A text that is an amount under another country's marks ("10,00" where
    people write "10.00") is refused with a question instead of being guessed at. What is no gift
    need not be within the limits of one: *limited* is False for a part that goes back.

    Raises:
        AmountRefused: Nothing typed, not an amount, too many decimals, outside the limits.

    """
    kind = currency(code)
    decimal_mark, group_mark = _marks(locale)
    typed = _without_symbol(text.strip(" "), code, locale)
    if not typed:
        raise AmountRefused("Please enter an amount.")
    grouped = rf"[0-9]{{1,3}}(?:{re.escape(group_mark)}[0-9]{{3}})+"
    match = re.fullmatch(
        rf"({grouped}|[0-9]{{1,12}})(?:{re.escape(decimal_mark)}([0-9]{{1,12}}))?", typed[:40]
    )
    if match is None or len(typed) > 40:  # noqa: PLR2004 - longer than any amount
        raise AmountRefused(_not_an_amount(typed, code, locale))
    whole, decimals = match[1].replace(group_mark, ""), match[2] or ""
    if len(decimals) > kind.exponent:
        raise AmountRefused(_too_fine(kind, locale))
    minor = int(whole) * kind.unit + int(decimals.ljust(kind.exponent, "0") or "0")
    return _within_limits(minor, kind, locale) if limited else Money(minor, code)


# What people write at home when it is not what Babel prints.
_LOCAL_SIGNS = {"DOP": "$", "JPY": "\u00a5", "TWD": "$"}


@lru_cache(maxsize=64)
def _marks(locale: str) -> tuple[str, str]:
    """Return the decimal and the grouping mark; a narrow space is typed as an ordinary one."""
    group = get_group_symbol(locale)
    return get_decimal_symbol(locale), group if group.isascii() else " "


def _without_symbol(typed: str, code: str, locale: str) -> str:
    """Drop the currency's own sign, in front or behind, as people write it here or at home."""
    local = get_currency_symbol(code, locale)
    for symbol in (local, get_currency_symbol(code, "en_US"), _LOCAL_SIGNS.get(code)):
        if symbol and typed.startswith(symbol):
            return typed.removeprefix(symbol).strip(" ")
        if symbol and typed.endswith(symbol):
            return typed.removesuffix(symbol).strip(" ")
    return typed


def _not_an_amount(typed: str, code: str, locale: str) -> str:
    example = Money(1_000 * currency(code).unit + currency(code).unit // 2, code).exact(locale)
    if re.fullmatch(r"[0-9][0-9., ]*", typed):
        return f"We are not sure which amount you mean. Please write it like this: {example}."
    return f"Please enter an amount in figures, like this: {example}."


def _too_fine(kind: Currency, locale: str) -> str:
    if kind.exponent == 0:
        return f"{kind.code} has no smaller unit. Please enter a whole amount."
    example = Money(25 * kind.unit, kind.code).exact(locale)
    return f"Please use at most {kind.exponent} decimals, like this: {example}."


def _within_limits(minor: int, kind: Currency, locale: str) -> Money:
    if minor % kind.step:
        allowed = "a whole amount" if kind.step >= kind.unit else "an amount ending in 0"
        raise AmountRefused(f"Gifts in {kind.code} must be {allowed}.")
    if minor < kind.minimum:
        least = Money(kind.minimum, kind.code).text(locale)
        raise AmountRefused(f"The smallest gift we can take online is {least}.")
    if minor > kind.maximum:
        most = Money(kind.maximum, kind.code).text(locale)
        raise AmountRefused(
            f"The largest gift we can take online is {most}. Please write to us to give more."
        )
    return Money(minor, kind.code)


def covering_fee(gift: Money, basis_points: int) -> Money:
    """Return the total to charge so that *gift* remains after a card fee.

    The fee is *basis_points* hundredths of a percent of the total plus the currency's fixed part;
    the total is rounded up to what the currency allows.
    """
    kind = currency(gift.currency)
    dividend, divisor = (gift.minor + kind.card_fee_fixed) * 10_000, 10_000 - basis_points
    total = -(-dividend // divisor)
    return Money(-(-total // kind.step) * kind.step, gift.currency)
