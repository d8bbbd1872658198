"""ASGI middleware: what reverse proxies say of the requests they pass on, where the administrator trusts them.

uvicorn's own middleware takes address and scheme of the client from them. It stands here and not around the whole
application, because what it replaces, the address of the proxy, also decides whether ``X-Forwarded-Host`` is believed.
"""

from collections.abc import Sequence
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

FORWARDED_HOST = "parcela.forwarded_host"
"""Key of the scope: the host that a trusted proxy was asked for; missing without one."""


class Forwarded:
    """Stands outside of everything that wants to know who asks."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        """Wrap an application; ``trusted``: addresses and networks of proxies."""
        proxied = ProxyHeadersMiddleware(cast("Any", app), [*trusted])
        self._trusted = proxied.trusted_hosts
        self._proxied = cast("ASGIApp", proxied)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request."""
        client = scope.get("client")
        if client is not None and client[0] in self._trusted:
            # Each proxy appends, so the last one is what the proxy that we trust has written.
            said = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
            if said and (host := said[-1].decode("latin-1").rpartition(",")[2].strip()):
                scope[FORWARDED_HOST] = host
        await self._proxied(scope, receive, send)
