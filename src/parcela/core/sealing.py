"""Sealing: small secrets that we must be able to read again, encrypted with a key of their own per purpose.

The keys come from the installation's signing secret by HKDF-SHA256 (RFC 5869) with the purpose as ``info``, so what is
sealed for one purpose can neither be opened for another nor help to forge a token. The box is a compact JWE of joserfc
(direct key, AES-256-GCM).
"""

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from parcela.core.clock import Clock

SALT = b"parcela sealing v1"
HEADER = {"alg": "dir", "enc": "A256GCM"}
# A stranger's box is parsed before anything is proved: it may be JSON of any shape and depth.
_UNREADABLE = (JoseError, AttributeError, KeyError, ValueError, TypeError, OverflowError, RecursionError)


def derived_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes of HKDF-SHA256: extract, and the first block of expand."""
    pseudo_random = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(pseudo_random, info + b"\x01", hashlib.sha256).digest()


class Sealer:
    """Seals and opens for one purpose."""

    def __init__(self, secret: str, purpose: str, clock: Clock) -> None:
        """Take the signing secret, the purpose (it separates the keys) and the clock."""
        self._key = OctKey.import_key(derived_key(secret.encode(), SALT, purpose.encode()))
        self._clock = clock

    def seal(self, value: Any, ttl_s: int | None = None) -> str:
        """A box with a JSON value; it opens for ``ttl_s`` seconds, or for ever."""
        until = None if ttl_s is None else (self._clock() + timedelta(seconds=ttl_s)).timestamp()
        plain = json.dumps([until, value], separators=(",", ":")).encode()
        return jwe.encrypt_compact(dict(HEADER), plain, self._key, algorithms=list(HEADER.values()))

    def open(self, box: str) -> Any:
        """What is in a box of ours; None when it is forged, of another purpose or too old."""
        try:
            plain = jwe.decrypt_compact(box, self._key, algorithms=list(HEADER.values())).plaintext
            until, value = json.loads(plain or b"")
        except _UNREADABLE:
            return None
        if until is not None and datetime.fromtimestamp(until, tz=self._clock().tzinfo) <= self._clock():
            return None
        return value
