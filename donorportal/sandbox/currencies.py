"""The currencies that the sandbox knows."""

CURRENCIES = frozenset(
    "aud cad chf dkk dop eur gbp hkd huf isk jpy mxn nok nzd pln sek sgd thb twd ugx usd".split()  # noqa: SIM905
)
