"""The currencies that the sandbox knows."""

CURRENCIES = frozenset(
    "aud cad chf dkk dop eur gbp hkd huf isk jpy kwd mxn nok nzd pln sek sgd thb twd ugx"  # noqa: SIM905
    " usd".split()
)
