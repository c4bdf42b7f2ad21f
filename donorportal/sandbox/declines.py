"""Why a bank may refuse a card: Stripe's decline code, its error code and its sentence."""

_DECLINED = "Your card was declined."
DECLINES = {
    "generic_decline": ("card_declined", _DECLINED),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "do_not_honor": ("card_declined", _DECLINED),
    "fraudulent": ("card_declined", _DECLINED),
    "lost_card": ("card_declined", _DECLINED),
    "stolen_card": ("card_declined", _DECLINED),
    "card_velocity_exceeded": (
        "card_declined",
        "Your card was declined for making repeated attempts too frequently.",
    ),
    "expired_card": ("expired_card", "Your card has expired."),
    "incorrect_cvc": ("incorrect_cvc", "Your card's security code is incorrect."),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "authentication_failed": (
        "payment_intent_authentication_failure",
        "We are unable to authenticate your payment method. Please choose another one.",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}
"""By decline code: the error's code and its message."""

CARD_OUTCOMES = frozenset(DECLINES) - {"authentication_failed"}
"""What a charge can be made to fail with."""
