"""Pure ASGI middleware: request ids, origins, log lines, metrics, security headers, ETags, the limit of bodies."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parcela.api.errors import answer_to
from parcela.api.etags import etag_of, matches
from parcela.api.fast_lists.cache import CACHED_LISTS
from parcela.api.rate_limits import TOLD
from parcela.core.logs import ACCESS, EndLines, RequestEnd
from parcela.core.origin import Origin, enter, leave
from parcela.services.container import Services
from parcela.services.observability.metrics import Metrics
from parcela.services.traffic.streams import PLACE

log = structlog.get_logger(ACCESS)
READING = frozenset({"GET", "HEAD", "OPTIONS"})
UNROUTED = "unmatched"

EXPOSED_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Lost",
    "X-Lost-Count",
    "X-Next-Cursor",
    "X-Request-Id",
    "X-Server-Id",
)
"""What scripts of other (allowed) origins may read besides the few headers that browsers always show."""
RawHeader = tuple[bytes, bytes]
SECURITY_HEADERS: Sequence[RawHeader] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
STANDING_NAMES = frozenset({b"x-request-id", b"x-server-id", *(name for name, _ in SECURITY_HEADERS)})
MAX_ETAG_BYTES = 4_194_304


def route_of(scope: Scope) -> str:
    """Template of the route that took a request, e.g. ``/api/v1/slices/{slice_id}``; known once it is routed.

    Paths themselves are never used as a name: a stranger could make as many of them as they like.
    """
    # FastAPI keeps the whole template of an included HTTP route in the first, of a WebSocket in the second.
    for found in (scope.get("fastapi", {}).get("effective_route_context"), scope.get("route")):
        if path := getattr(found, "path", ""):
            return str(path)
    return str(scope["path"]) if scope["path"] in CACHED_LISTS else UNROUTED


def _action_of(scope: Scope) -> tuple[str, Mapping[str, Any]]:
    return f"{scope.get('method', 'WS')} {route_of(scope)}", scope.get("path_params") or {}


def _origin_of(scope: Scope, request_id: str) -> Origin:
    client = scope.get("client")
    origin = Origin(
        request_id,
        address=client[0] if client else "",
        describe=partial(_action_of, scope),
        task=asyncio.current_task(),
    )
    if scope.get("method") not in READING:
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        origin.user_agent = agent[:255].decode("latin-1")
    return origin


class RequestIds:
    """Random ids of 128 bits, as hex. Each question for random bytes is a call of the system, so many are asked for."""

    FETCHED = 256

    def __init__(self) -> None:
        """Fetch nothing yet."""
        self._left: list[str] = []

    def __call__(self) -> str:
        """An id that nobody else has."""
        if not self._left:
            fresh = secrets.token_hex(16 * self.FETCHED)
            self._left = [fresh[at : at + 32] for at in range(0, len(fresh), 32)]
        return self._left.pop()


class RequestContext:
    """Gives every request an id and an origin, logs and measures it, and adds the headers all answers have."""

    def __init__(self, app: ASGIApp, server_id: str, metrics: Metrics) -> None:
        """``server_id`` names this replica in ``X-Server-Id``."""
        self._app = app
        self._standing = ((b"x-server-id", server_id.encode("latin-1")), *SECURITY_HEADERS)
        self._metrics = metrics
        self._ids = RequestIds()
        self._access = logging.getLogger(ACCESS)
        self._end_lines = EndLines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = self._ids()
        scope["request_id"] = request_id
        standing = ((b"x-request-id", request_id.encode()), *self._standing)
        # For the answer to a crash, which Starlette writes outside of all middleware.
        scope["standing_headers"] = standing
        origin = _origin_of(scope, request_id)
        token = enter(origin)
        try:
            if scope["type"] == "http":
                await self._request(scope, receive, _Headed(scope, send, origin, standing), origin)
            else:
                await self._socket(scope, receive, send)
        finally:
            leave(token)
            if PLACE in scope:
                scope[PLACE]()

    async def _request(self, scope: Scope, receive: Receive, send: "_Headed", origin: Origin) -> None:
        began = time.perf_counter()
        method, path = scope["method"], scope["path"]
        # A line below the level would still pass through every processor before it is dropped.
        if self._access.isEnabledFor(logging.DEBUG):
            log.debug("request.start", method=method, path=path)
        try:
            await self._app(scope, receive, send)
        except BaseException as exc:
            log.warning("request.error", method=method, path=path, error=type(exc).__name__, **_who(origin))
            raise
        finally:
            took_s = time.perf_counter() - began
            route = route_of(scope)
            self._metrics.on_request(method if route != UNROUTED else "any", route, send.status, took_s)
            if self._end_lines.wanted:
                took_ms, who = round(took_s * 1000, 1), (origin.user_id or None, origin.token_id or None)
                end = RequestEnd(time.time(), took_ms, method, path, route, send.status, *who, origin.request_id)
                self._end_lines.add(end)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = ""

        async def counted(message: Message) -> None:
            nonlocal route
            if message["type"] == "websocket.accept":
                route = route_of(scope)
                self._metrics.on_socket(route, 1)
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            if route:
                self._metrics.on_socket(route, -1)


def _who(origin: Origin) -> dict[str, int | None]:
    return {"user_id": origin.user_id or None, "token_id": origin.token_id or None}


class _Headed:
    """Adds the headers all answers have, keeps the status, and has refused writes noted before their answer leaves."""

    def __init__(self, scope: Scope, send: Send, origin: Origin, standing: Sequence[RawHeader]) -> None:
        self.status = 500
        self._scope = scope
        self._send = send
        self._origin = origin
        self._standing = standing

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
            if self.status == 403 and self._scope["method"] not in READING:
                services: Services = self._scope["app"].state.services
                await services.observing.audit.refused(self._origin)
        await self._send(message)

    def _completed(self, said: Sequence[RawHeader]) -> list[RawHeader]:
        present = {name for name, _ in said}
        standing = self._standing
        if not present.isdisjoint(STANDING_NAMES):
            standing = [header for header in standing if header[0] not in present]
        return [*said, *self._scope.get(TOLD, ()), *standing]


class EntityTags:
    """ETag and If-None-Match for JSON answers to GET under ``/api/v1``: 304 when the client has these bytes already."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if (
            scope["type"] != "http"
            or scope["method"] not in {"GET", "HEAD"}
            or not scope["path"].startswith("/api/v1/")
        ):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Tagger(scope, send))


class _Tagger:
    """Holds the start of an answer back until its body is known; streams pass through."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._asked = Headers(scope=scope).get("if-none-match", "")
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            whole = message["status"] == 200 and headers.get("content-type", "").startswith("application/json")
            small = int(headers.get("content-length", MAX_ETAG_BYTES + 1)) <= MAX_ETAG_BYTES
            if whole and small and "etag" not in headers:
                self._start = message
                return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._finish(self._start, bytes(self._body))

    async def _finish(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(raw=start["headers"])
        tag = etag_of(body)
        headers["ETag"] = tag
        if self._asked and matches(self._asked, tag):
            start["status"] = 304
            del headers["content-length"]
            body = b""
        start["headers"] = headers.raw
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


class BodyLimit:
    """Refuses request bodies that are too large; routes may have a limit of their own (``max_body_size``).

    FastAPI's own limit of the application stands outside of all middleware: its refusal of an announced length is plain
    text without request id or security headers. This one stands inside, and speaks as all other errors do.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        """Wrap an application; ``max_body_bytes`` is the limit of routes that have none."""
        self._app = RequestBodyLimitMiddleware(app, max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                kind = Headers(raw=message["headers"]).get("content-type", "")
                replaced = kind.startswith("text/plain")  # ours and those of pages are not
                if replaced:
                    error = HTTPException(413, "The body is larger than this request may have.")
                    await (await answer_to(scope, error))(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_problem)
