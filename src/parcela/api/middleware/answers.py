"""Rules that every answer keeps, whoever wrote it: what may be kept by caches, and where redirects may lead.

- What is told to one person is ``no-store``: lab machines are shared, and the next person at one must not find it in
  the browser's cache. Only built files, whose names change with their content, are kept. Plain reads of ``/api/v1`` by
  a bearer token have entity tags for programs that keep copies; those are ``private`` and asked for again each time.
- ``Location`` never repeats the ``Host`` header: addresses of ours are told as paths.
- A browser that uses the name of a stranger for us (DNS rebinding) is refused.
"""

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parcela.api.errors import answer_to
from parcela.api.routing import V1
from parcela.core.settings import Settings
from parcela.core.sites import is_known_host, is_loopback

STATIC = "/static/"
HEALTH = frozenset({f"{V1}/system/health", "/api/sistema/health", "/healthz"})
"""Monitors and balancers ask for these under any name; the answer tells nothing."""
NO_STORE, ASK_AGAIN = b"no-store", b"no-cache, private"


class AnswerRules:
    """Applies the rules of this module. Stands outside of everything that answers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Take the names of the server."""
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        app = self._app if self._may_ask(scope, headers) else _refuse
        if scope["type"] == "websocket":
            await app(scope, receive, send)
            return
        keeps = _may_keep(scope, headers)

        async def ruled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _ruled(message, scope, keeps=keeps)
            await send(message)

        await app(scope, receive, ruled)

    def _may_ask(self, scope: Scope, headers: Headers) -> bool:
        """Whether the host is ours, where that can matter.

        A bearer token is known to no page of a stranger. Without a public address, and behind a proxy, nobody can say
        which names are ours; but who reaches a loopback address directly is on this machine.
        """
        settings = self._settings
        if scope["path"] in HEALTH or headers.get("authorization", "").lower().startswith("bearer "):
            return True
        server = scope.get("server") or ("", 0)
        if not settings.public_url and (settings.trusted_proxies or not is_loopback(str(server[0]))):
            return True
        return is_known_host(headers.get("host", ""), settings.public_url, settings.allowed_hosts)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "unknown host"})
        return
    text = (
        "This server is not known under the host name of the request. Use the address of PARCELA_PUBLIC_URL; an "
        "administrator can add names with PARCELA_ALLOWED_HOSTS."
    )
    # As a problem document: pages have links, and those would lead to the unknown host.
    scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in {b"accept", b"cookie"}]}
    await (await answer_to(scope, HTTPException(HTTPStatus.MISDIRECTED_REQUEST, text)))(scope, receive, send)


def _may_keep(scope: Scope, headers: Headers) -> bool:
    """Whether a program may keep a copy that it asks for again: a read of the canonical API that no cookie signs in.

    With a bearer token a cookie counts for nothing: programs with a cookie jar send the device cookie of their login.
    """
    is_read = scope["path"].startswith(f"{V1}/") and scope["method"] in {"GET", "HEAD"}
    return is_read and ("cookie" not in headers or headers.get("authorization", "").lower().startswith("bearer "))


def _ruled(message: Message, scope: Scope, *, keeps: bool) -> list[tuple[bytes, bytes]]:
    status, said = message["status"], list(message.get("headers", ()))
    names = {name for name, _ in said}
    cache = next((value for name, value in said if name == b"cache-control"), b"")
    found = [pair for pair in said if pair[0] != b"cache-control"]
    if scope["path"].startswith(STATIC) and cache.startswith(b"public"):
        found.append((b"cache-control", cache))
    elif b"no-store" in cache:
        found.append((b"cache-control", cache))  # at least as strict
    else:
        again = keeps and b"etag" in names and status in {200, 304} and b"no-store" not in cache
        found.append((b"cache-control", ASK_AGAIN if again else NO_STORE))
    if b"location" in names:
        found = [
            (name, _path_of(value, scope, status)) if name == b"location" else (name, value) for name, value in found
        ]
    return found


def _path_of(location: bytes, scope: Scope, status: int) -> bytes:
    """An address of the host that the request named, as a path; others as they are.

    Starlette's redirect to the address with (or without) a final slash, a 307, is always one of ours, whatever the
    ``Host`` header was, or where there was none.
    """
    text = location.decode("latin-1")
    own = f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}"
    if text.startswith(f"{own}/"):
        text = text.removeprefix(own)
    elif status == HTTPStatus.TEMPORARY_REDIRECT:
        text = urlsplit(text)._replace(scheme="", netloc="").geturl()
    else:
        return location
    # '//elsewhere' and '/\\elsewhere' would be another host.
    return ("/" + text.lstrip("/\\")).encode("latin-1")
