"""Tokens: signed session tokens (JWT, HS256) and opaque secrets, of which only hashes are stored."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from parcela.core.clock import Clock
from parcela.core.errors import unauthenticated

PERSONAL_PREFIX = "pcl_"
ALGORITHM = "HS256"
# A stranger's header is parsed before any signature is checked: it may be JSON of any shape and depth.
_UNREADABLE = (JoseError, AttributeError, KeyError, ValueError, TypeError, OverflowError, OSError, RecursionError)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid session token says."""

    user_id: int
    jti: str
    kind: str  # "access" or "refresh"
    role: str
    expires_at: datetime


def hash_token(token: str) -> str:
    """SHA-256 of a token as lower-case hex; the only form in which tokens are stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def session_id_of(family: str) -> str:
    """The public id of a session. The family itself is secret: the pages' proofs against forged forms come from it."""
    return hashlib.sha256(b"session:" + family.encode()).hexdigest()[:32]


def new_personal_token() -> str:
    """A personal token with 256 random bits; the prefix lets secret scanners find it."""
    return PERSONAL_PREFIX + secrets.token_urlsafe(32)


def new_secret() -> str:
    """256 random bits as URL-safe text."""
    return secrets.token_urlsafe(32)


class TokenSigner:
    """Signs and checks session tokens with one symmetric key."""

    def __init__(self, secret: str, clock: Clock) -> None:
        """Take the key (>= 32 characters) and the clock."""
        self._key = OctKey.import_key(secret)
        self._clock = clock

    def sign(
        self, *, user_id: int, role: str, kind: str, ttl_s: int, more: Mapping[str, str] | None = None
    ) -> tuple[str, Claims]:
        """A token that ends ``ttl_s`` seconds from now, and what it says; ``more`` is for clients, and never read."""
        now = self._clock()
        expires_at = (now + timedelta(seconds=ttl_s)).replace(microsecond=0)
        jti = secrets.token_hex(16)
        payload = {
            **(more or {}),
            "sub": str(user_id),
            "jti": jti,
            "typ": kind,
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = jwt.encode({"alg": ALGORITHM}, payload, self._key, algorithms=[ALGORITHM])
        return token, Claims(user_id, jti, kind, role, expires_at)

    def verify(self, token: str, *, kind: str) -> Claims:
        """What a token says, once its signature, algorithm, kind and expiry are good.

        Raises:
            ParcelaError: kind ``unauthenticated``; the code tells forged from expired.
        """
        try:
            payload = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            claims = Claims(
                user_id=int(payload["sub"]),
                jti=str(payload["jti"]),
                kind=str(payload["typ"]),
                role=str(payload["role"]),
                expires_at=datetime.fromtimestamp(int(payload["exp"]), tz=self._clock().tzinfo),
            )
        except _UNREADABLE as exc:
            raise unauthenticated("token_invalid", "The token is not one of ours.") from exc
        if claims.kind != kind:
            raise unauthenticated("token_invalid", f"This is not a token of the kind '{kind}'.")
        if claims.expires_at <= self._clock():
            raise unauthenticated("token_expired", "The token has expired; log in again.")
        return claims
