"""The protocol of OpenID Connect: discovery, the authorization code with PKCE, and the check of ID tokens.

authlib and joserfc judge (claims, PKCE, signatures), httpx2 fetches. Everything the provider says is a stranger's:
answers are limited in size and time, redirects are not followed, and its endpoints must be as safe as its issuer.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from parcela.core.clock import Clock
from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.core.settings_identity import LOOPBACK
from parcela.services.identity.single_sign_on.oidc_flow import Claims, Flow, refused, unavailable

log = structlog.get_logger(__name__)

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has: never ``none``, and no HMAC with a secret that we share."""
KEY_KINDS = frozenset({"RSA", "EC", "OKP"})
TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 1_048_576
KEPT_FOR = timedelta(hours=1)
KEYS_AGAIN_AFTER = timedelta(minutes=1)
LEEWAY_S = 60
MAX_SUBJECT_CHARS = 255
WELL_KNOWN = "/.well-known/openid-configuration"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# What a provider says is parsed before it is proved: it may be JSON of any shape and depth.
_UNREADABLE = (JoseError, AttributeError, KeyError, IndexError, ValueError, TypeError, OverflowError, RecursionError)


class OidcClient:
    """We at one provider."""

    def __init__(self, settings: Settings, clock: Clock, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Nothing is asked before the first use; tests give a ``transport``."""
        self._settings = settings
        self._clock = clock
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None
        self._metadata: Mapping[str, Any] = {}
        self._metadata_until: datetime | None = None
        self._keys: list[Mapping[str, Any]] = []
        self._keys_at: datetime | None = None
        self._lock = asyncio.Lock()
        self.trouble = ""
        """Why the provider could not be used the last time; "" when it could."""

    async def aclose(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()

    async def start_url(self, flow: Flow) -> str:
        """Where to send the browser."""
        metadata = await self.metadata()
        address: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self._settings.oidc_client_id,
            "code",
            redirect_uri=flow.redirect_uri,
            scope=self._settings.oidc_scopes,
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
        )
        return address

    async def claims(self, flow: Flow, code: str) -> Claims:
        """Swap a code for what the provider says of the person; the subject is proved.

        Raises:
            ParcelaError: ``unauthenticated`` with code ``oidc_refused``, or ``unavailable``.
        """
        metadata = await self.metadata()
        tokens = await self._tokens(metadata, flow, code)
        claims = await self._proved(metadata, flow, tokens)
        if self._settings.oidc_email_claim in claims or not metadata.get("userinfo_endpoint"):
            return claims
        bearer = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        more = await self._json("GET", metadata["userinfo_endpoint"], headers=bearer)
        if more.get("sub") != claims["sub"]:
            raise refused("the subject of userinfo is another one")
        return {**more, **claims}

    async def metadata(self, *, fresh: bool = False) -> Mapping[str, Any]:
        """What the provider says of itself, at most an hour old; ``fresh``: asked now."""
        async with self._lock:
            now = self._clock()
            if fresh or self._metadata_until is None or self._metadata_until <= now:
                self._metadata = await self._discovered()
                self._metadata_until = now + KEPT_FOR
        return self._metadata

    async def _discovered(self) -> Mapping[str, Any]:
        issuer = self._settings.oidc_issuer.rstrip("/")
        found = await self._json("GET", issuer + WELL_KNOWN)
        if not isinstance(found.get("issuer"), str) or found["issuer"].rstrip("/") != issuer:
            raise self._failed(f"the issuer calls itself {found.get('issuer')!r}")
        for name in (*ENDPOINTS, *(name for name in ("userinfo_endpoint",) if found.get(name))):
            if not self._is_safe(found.get(name)):
                raise self._failed(f"{name} is no address that can be trusted")
        return found

    def _is_safe(self, address: object) -> bool:
        """https, or http to this machine when the issuer is that too."""
        if not isinstance(address, str):
            return False
        parts = urlsplit(address)
        plain = urlsplit(self._settings.oidc_issuer).scheme == "http" and parts.hostname in LOOPBACK
        return bool(parts.hostname) and (parts.scheme == "https" or (plain and parts.scheme == "http"))

    async def _tokens(self, metadata: Mapping[str, Any], flow: Flow, code: str) -> Mapping[str, Any]:
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "code_verifier": flow.verifier,
            "client_id": settings.oidc_client_id,
        }
        options: dict[str, Any] = {}
        if settings.oidc_client_secret is not None:
            secret = settings.oidc_client_secret.get_secret_value()
            methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
            if "client_secret_basic" in methods:
                options["auth"] = (quote(settings.oidc_client_id, safe=""), quote(secret, safe=""))
                del form["client_id"]
            else:
                form["client_secret"] = secret
        return await self._json("POST", metadata["token_endpoint"], refusable=True, data=form, **options)

    async def _proved(self, metadata: Mapping[str, Any], flow: Flow, tokens: Mapping[str, Any]) -> Claims:
        """The claims of the ID token, once signature, issuer, audience, times and nonce are good."""
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [name for name in SIGNATURES if name in offered]
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str) or not allowed:
            raise refused("there is no ID token with a signature that can be checked")
        token = await self._verified(metadata, id_token, allowed)
        options: dict[str, Any] = {
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": self._settings.oidc_client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "nonce": {"essential": True},
        }
        params = {
            "nonce": flow.nonce,
            "client_id": self._settings.oidc_client_id,
            "access_token": tokens.get("access_token"),
        }
        try:
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(now=int(self._clock().timestamp()), leeway=LEEWAY_S)
        except _UNREADABLE as exc:
            raise refused(f"claims: {exc}") from exc
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS:
            raise refused("the subject is no text of 1 to 255 characters")
        return dict(claims)

    async def _verified(self, metadata: Mapping[str, Any], id_token: str, allowed: list[str]) -> jwt.Token:
        """The token, once its signature is good; the keys are fetched again when it is of a new one."""
        for fresh in (False, True):
            keys = await self._provider_keys(metadata, fresh=fresh)
            try:
                return jwt.decode(id_token, KeySet.import_key_set({"keys": keys}), algorithms=allowed)  # type: ignore[typeddict-item]
            except _UNREADABLE as exc:
                problem = refused(f"signature: {exc}")
        raise problem

    async def _provider_keys(self, metadata: Mapping[str, Any], *, fresh: bool) -> list[Mapping[str, Any]]:
        now = self._clock()
        age = None if self._keys_at is None else now - self._keys_at
        if age is None or age >= (KEYS_AGAIN_AFTER if fresh else KEPT_FOR):
            found = (await self._json("GET", metadata["jwks_uri"])).get("keys")
            keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
            self._keys = [key for key in keys if key.get("kty") in KEY_KINDS and key.get("use") != "enc"]
            self._keys_at = now
        return self._keys

    async def _json(self, method: str, address: str, *, refusable: bool = False, **options: Any) -> Claims:
        """A JSON object from the provider. ``refusable``: what it refuses is about this sign-in, not the provider."""
        try:
            answer, body = await self._fetched(method, address, **options)
            if refusable and answer.is_client_error:
                raise refused(f"{address} answered '{answer.reason_phrase}': {body[:200]!r}")
            if not answer.is_success:
                raise self._failed(f"{address} answered '{answer.reason_phrase}'")
            value = json.loads(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            raise self._failed(f"{address}: {str(exc) or type(exc).__name__}") from exc
        except (ValueError, RecursionError) as exc:
            raise self._failed(f"{address} gave no JSON") from exc
        if not isinstance(value, dict):
            raise self._failed(f"{address} gave no JSON object")
        self.trouble = ""
        return value

    async def _fetched(self, method: str, address: str, **options: Any) -> tuple[httpx2.Response, bytes]:
        if self._http is None:
            headers = {"Accept": "application/json", "User-Agent": "parcela"}
            self._http = httpx2.AsyncClient(
                timeout=TIMEOUT_S, headers=headers, transport=self._transport, follow_redirects=False
            )
        body = b""
        async with asyncio.timeout(2 * TIMEOUT_S), self._http.stream(method, address, **options) as answer:
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise self._failed(f"{address} gave more than {MAX_ANSWER_BYTES} bytes")
        return answer, body

    def _failed(self, reason: str) -> ParcelaError:
        self.trouble = reason
        log.warning("oidc.unavailable", reason=reason)
        return unavailable(reason)
