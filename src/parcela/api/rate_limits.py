"""ASGI middleware: limits on requests, told on every answer.

``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (seconds) with ``RateLimit-Policy``, as the IETF draft had them up to
its seventh version, which is what clients know. Whoever is over gets 429 with ``Retry-After``. Not counted: what
monitors and browsers load by themselves (health, metrics, static files), and WebSockets, which are one request each.
"""

from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Receive, Scope, Send

from parcela.api.errors import answer_to
from parcela.core.cookies import cookie_of
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.rate_limits import Verdict

FREE_PATHS = frozenset({"/api/v1/system/health", "/api/sistema/health", "/healthz", "/metrics"})
FREE_PREFIX = "/static/"
CALLER = "parcela.caller"
"""Key of the scope: who asks, or None, for what stands further inside and need not find out again."""
STRANGER = "parcela.stranger"
"""Key of the scope: True when whoever asks has no token, or a bad one."""
TOLD = "parcela.told"
"""Key of the scope: headers about limits, which ``RequestContext`` adds to the answer with its own."""


def _token(scope: Scope) -> str:
    """The bearer token, else that of the session's cookie that counts at this address; "" without."""
    cookies, wanted = "", cookie_of(scope["path"])
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token if scheme.lower() == "bearer" else ""
        if name == b"cookie":
            cookies = value.decode("latin-1")
    if not wanted or wanted not in cookies:
        return ""
    try:
        found = SimpleCookie(cookies).get(wanted)
    except CookieError:
        return ""
    return found.value if found else ""


async def _caller(scope: Scope, address: str) -> Caller | None:
    """Who asks; None for strangers and bad tokens, of which the application will say what is wrong."""
    token = _token(scope)
    if not token:
        scope[STRANGER] = True
        return None
    services: Services = scope["app"].state.services
    try:
        return await services.auth.authenticate(token, address=address)
    except ParcelaError as error:
        scope[STRANGER] = error.kind is ErrorKind.UNAUTHENTICATED
        return None


def _headers(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    limit = str(verdict.limit).encode()
    return [
        (b"ratelimit-limit", limit),
        (b"ratelimit-remaining", str(verdict.remaining).encode()),
        (b"ratelimit-reset", str(verdict.reset_s).encode()),
        (b"ratelimit-policy", b"%b;w=%d" % (limit, verdict.window_s)),
    ]


class RateLimits:
    """Stands outside of everything that could answer, and inside of what all answers get."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request."""
        if scope["type"] != "http" or scope["path"] in FREE_PATHS or scope["path"].startswith(FREE_PREFIX):
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        client = scope.get("client")
        address = client[0] if client else "unknown"
        caller = scope[CALLER] = await _caller(scope, address)
        verdict = await services.rate_limits.count(caller.user_id if caller else None, address)
        if verdict is None:
            await self._app(scope, receive, send)
            return
        scope[TOLD] = _headers(verdict)
        if verdict.allowed:
            await self._app(scope, receive, send)
            return
        text = f"That was more than {verdict.limit} requests in {verdict.window_s} s; wait {verdict.reset_s} s."
        error = ParcelaError(ErrorKind.RATE_LIMITED, "rate_limited", text, retry_after_s=verdict.reset_s)
        answer = await answer_to(scope, error)
        await answer(scope, receive, send)
