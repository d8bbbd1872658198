"""The rules of webhooks that need nothing but facts: secrets, signatures, what fits, when to try again."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

FIRST_RETRY_S = 10.0
GROWTH = 4.0
LONGEST_RETRY_S = 21_600.0
SPREAD = 0.2
"""Delays differ by up to so much either way, so that what failed together is not repeated together."""
OVERLAP = timedelta(hours=24)
"""So long after a rotation, the old secret signs as well."""
SECRET_PREFIX = "whsec_"  # noqa: S105 (a mark, not a secret)


class WebhookSecrets:
    """Makes secrets from the server's key and a webhook's salt, so that the database alone gives none away."""

    def __init__(self, key: str) -> None:
        """Take the key that also signs tokens."""
        self._key = hashlib.sha256(b"parcela webhooks\0" + key.encode()).digest()

    def secret(self, salt: str) -> str:
        """The secret that belongs to a salt."""
        digest = hmac.digest(self._key, salt.encode(), "sha256")
        return SECRET_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def signature(secrets: Sequence[str], at: datetime, body: bytes) -> str:
    """``X-Parcela-Signature``: the time in seconds since 1970, and an HMAC-SHA256 of ``time.body`` per secret."""
    stamp = str(int(at.timestamp()))
    signed = stamp.encode() + b"." + body
    marks = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={stamp}", *marks])


def fits(event_type: str, wanted: Sequence[str]) -> bool:
    """Whether an event is of a wanted type; ``vm.*`` stands for all of a noun, nothing at all for everything."""
    return not wanted or any(
        one in {event_type, "*"} or (one.endswith(".*") and event_type.startswith(one[:-1])) for one in wanted
    )


def retry_delay_s(attempts: int, chance: float) -> float:
    """Seconds until the next attempt after so many (>= 1); ``chance`` is from 0 to 1."""
    plain = min(FIRST_RETRY_S * GROWTH ** (attempts - 1), LONGEST_RETRY_S)
    return float(plain * (1 - SPREAD + 2 * SPREAD * chance))
