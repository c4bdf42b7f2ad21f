"""Proof of work: a small sum for one visitor's browser, a large bill for whoever tests cards.

A challenge is text that only we can make, for one form and for a while. It is solved by a number
that, hashed with it, gives so many zero bits. Trying is the only way to find one; checking takes
a single hash. A solution is good once.
"""

import hmac
import re
import secrets
from datetime import timedelta
from hashlib import sha256

from sqlalchemy.orm import Session

from donorportal import clock
from donorportal.config import Settings
from donorportal.limits.counting import spend

# About 65,000 hashes: half a second on a desk, a second or two on a telephone.
LEAST_BITS = 16
# Eight times that: slower than donors like, but it still ends.
MOST_BITS = 19
_GOOD_FOR = timedelta(minutes=20)
_SHAPE = re.compile(r"([0-9]{1,2})\.([0-9]{1,11})\.([0-9a-f]{32})\.([0-9a-f]{64})")
_ANSWER = re.compile(r"[0-9]{1,15}")
_HASH_BITS = 256


def difficulty(attempts: int, usual: int) -> int:
    """Return how many zero bits to ask for: one more whenever the *attempts* have doubled."""
    return min(MOST_BITS, LEAST_BITS + max(0, (attempts // usual).bit_length() - 1))


def challenge(settings: Settings, form_key: str, bits: int) -> str:
    """Return a new challenge for the form with this key."""
    expires = int((clock.now() + _GOOD_FOR).timestamp())
    claim = f"{bits}.{expires}.{secrets.token_hex(16)}"
    return f"{claim}.{_seal(settings.secret_key, form_key, claim)}"


def solved(
    session: Session, settings: Settings, *, form_key: str, challenge: str, answer: str
) -> bool:
    """Say whether *answer* solves a *challenge* of ours for this form, and use it up."""
    parts = _SHAPE.fullmatch(challenge)
    if parts is None or not _ANSWER.fullmatch(answer):
        return False
    bits, expires, nonce, seal = parts.groups()
    claim = challenge.removesuffix(f".{seal}")
    if not any(
        hmac.compare_digest(seal, _seal(secret, form_key, claim))
        for secret in (settings.secret_key, *settings.secret_key_fallbacks)
    ):
        return False
    expires_at = clock.from_timestamp(int(expires))
    if expires_at <= clock.now() or _zero_bits(f"{challenge}:{answer}") < int(bits):
        return False
    return spend(session, f"give:solved:{nonce}", expires_at=expires_at)


def _seal(secret: str, form_key: str, claim: str) -> str:
    key = hmac.digest(secret.encode(), b"donorportal proof of work", "sha256")
    return hmac.digest(key, f"{form_key}\0{claim}".encode(), "sha256").hex()


def _zero_bits(text: str) -> int:
    """Return with how many zero bits the hash of *text* begins."""
    return _HASH_BITS - int.from_bytes(sha256(text.encode()).digest(), "big").bit_length()
