"""Pure ASGI middleware: request ids, log lines, security headers, ETags, the limit of bodies."""

import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parcela.api.errors import problem_response
from parcela.api.etags import etag_of, matches

log = structlog.get_logger("parcela.access")

EXPOSED_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "X-Lost",
    "X-Lost-Count",
    "X-Request-Id",
    "X-Server-Id",
)
"""What scripts of other (allowed) origins may read besides the few headers that browsers always show."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MAX_ETAG_BYTES = 4_194_304


class RequestContext:
    """Gives every request an id, logs its start and end, and adds the headers all answers have."""

    def __init__(self, app: ASGIApp, server_id: str) -> None:
        """``server_id`` names this replica in ``X-Server-Id``."""
        self._app = app
        self._server_id = server_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope["request_id"] = request_id
        standing = {"X-Request-Id": request_id, "X-Server-Id": self._server_id, **SECURITY_HEADERS}
        # For the answer to a crash, which Starlette writes outside of all middleware.
        scope["standing_headers"] = standing
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in standing.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-cache, private")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                if scope["type"] == "http":
                    took_ms = round((time.perf_counter() - started) * 1000, 1)
                    log.info("request", method=scope["method"], path=scope["path"], status=status, took_ms=took_ms)


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
                    detail = "The body is larger than this request may have."
                    await problem_response(Request(scope), 413, "body_too_large", detail)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_problem)
