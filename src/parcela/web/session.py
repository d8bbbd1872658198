"""The session of a browser: two cookies, the proof against forged writes, and where one may be sent after login.

The access token travels in an HTTP-only cookie to every page. The refresh token goes to ``/login`` only: a page whose
access token has ended sends the browser there and back, and the person notices nothing.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response

from parcela.core import cookies
from parcela.core.errors import forbidden
from parcela.core.settings import Settings
from parcela.core.tokens import hash_token
from parcela.services.identity.sessions import TokenPair

SESSION_COOKIE = cookies.SESSION_COOKIE
REFRESH_COOKIE, LOGIN_COOKIE = cookies.REFRESH_COOKIE, "parcela_login"
CHALLENGE_COOKIE, OIDC_COOKIE, RESET_COOKIE, FORM_COOKIE = (
    "parcela_challenge",
    "parcela_oidc",
    "parcela_reset",
    "parcela_form",
)
LOGIN_PATH, OIDC_PATH, PASSWORD_PATH = cookies.REFRESH_PATH, "/auth/oidc", "/password"
CHALLENGE_S = 300
CSRF_FIELD, CSRF_HEADER = "csrf_token", "X-CSRF-Token"
MAX_PATH_CHARS = 500


def local_path(text: str | None) -> str:
    """``text`` when it is a path of ours to come back to after login, else ``/``.

    Browsers read a backslash as a slash and drop tabs and line ends: both can turn ``/...`` into ``//elsewhere``.
    """
    text = text or "/"
    plain = text.isascii() and text.isprintable() and "\\" not in text and len(text) <= MAX_PATH_CHARS
    if not plain or not text.startswith("/") or text.startswith("//"):
        return "/"
    path = urlsplit(text).path
    return "/" if path in {LOGIN_PATH, "/logout"} else text


def keep_session(request: Request, response: Response, pair: TokenPair, settings: Settings) -> None:
    """Give the browser its tokens, and after a login the cookie by which it is known at the next one."""
    _set(request, response, SESSION_COOKIE, pair.access_token, "/", pair.expires_in_s)
    _set(request, response, REFRESH_COOKIE, pair.refresh_token, LOGIN_PATH, settings.refresh_token_ttl_s)
    keep_device(request, response, pair.device, settings)
    response.delete_cookie(LOGIN_COOKIE, path=LOGIN_PATH)
    response.delete_cookie(CHALLENGE_COOKIE, path=LOGIN_PATH)


def keep_device(request: Request, response: Response, device: str, settings: Settings) -> None:
    """Let the browser be known from now on; ``device`` is the value of its cookie, "" for none."""
    if device:
        _set(request, response, cookies.DEVICE_COOKIE, device, "/", settings.known_device_days * 86400)


def keep_challenge(request: Request, response: Response, box: str) -> None:
    """Remember that the first step of signing in is done."""
    _set(request, response, CHALLENGE_COOKIE, box, LOGIN_PATH, CHALLENGE_S)


def keep_box(request: Request, response: Response, name: str, value: str, path: str, max_age_s: int) -> None:
    """Remember something for the pages below a path."""
    _set(request, response, name, value, path, max_age_s)


def forget_session(response: Response) -> None:
    """Take both tokens back."""
    response.delete_cookie(SESSION_COOKIE, path="/")
    response.delete_cookie(REFRESH_COOKIE, path=LOGIN_PATH)


def keep_login_secret(request: Request, response: Response, secret: str) -> None:
    """Remember what the login form was signed with."""
    _set(request, response, LOGIN_COOKIE, secret, LOGIN_PATH, 86400)


def _set(request: Request, response: Response, name: str, value: str, path: str, max_age_s: int) -> None:
    secure = request.url.scheme == "https"  # a lab without TLS must be able to log in too
    response.set_cookie(name, value, max_age=max_age_s, path=path, secure=secure, httponly=True, samesite="lax")


def csrf_token(secret: str) -> str:
    """A proof that a form came from us.

    ``secret`` is one that only we and the session know. The salt makes the token another one on every page: an answer
    that is compressed would otherwise give it away byte by byte to somebody who can watch lengths (BREACH).
    """
    salt = secrets.token_hex(8)
    return f"{salt}.{_mac(secret, salt)}"


def check_csrf(secret: str, token: str) -> None:
    """Raise ``forbidden`` when the token was not made by ``csrf_token`` with this secret."""
    salt, _, mac = token.partition(".")
    if not (secret and token.isascii() and hmac.compare_digest(mac, _mac(secret, salt))):
        text = "The form did not come from a page of your present session. Go back, reload the page and try again."
        raise forbidden("csrf_failed", text)


def _mac(secret: str, salt: str) -> str:
    return hmac.new(secret.encode(), b"parcela-csrf:" + salt.encode(), hashlib.sha256).hexdigest()


class Refresher:
    """Exchanges refresh tokens, each once, however many tabs ask at the same time.

    A refresh token that is used twice ends the session (it may be stolen), and two tabs that wake up together would
    both use it. So the answer to one is shared with those who ask within ``GRACE_S``.
    """

    GRACE_S = 20.0

    def __init__(self, refresh: Callable[[str, str], Awaitable[TokenPair]]) -> None:
        """``refresh`` takes a refresh token and the client's address."""
        self._refresh = refresh
        self._running: dict[str, asyncio.Future[TokenPair]] = {}

    async def __call__(self, token: str, address: str) -> TokenPair:
        """New tokens for an old one."""
        key = hash_token(token)
        running = self._running.get(key)
        if running is None:
            running = asyncio.ensure_future(self._refresh(token, address))
            self._running[key] = running
            running.add_done_callback(lambda _: self._forget_later(key))
        return await asyncio.shield(running)

    def _forget_later(self, key: str) -> None:
        asyncio.get_running_loop().call_later(self.GRACE_S, self._running.pop, key, None)
