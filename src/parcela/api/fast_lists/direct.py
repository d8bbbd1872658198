"""First pages of lists that are asked for all the time, read without FastAPI.

Finding the route and resolving its dependencies took FastAPI as long as the database needs for the page. Only the
plainest requests are answered here: a known caller, and no more in the query than ``limit``. Everything else, and every
error, goes on to the route, which gives the same answer to the same request; a test compares the two. Clients of the
older API ``vm_api`` have routes of their own.
"""

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from parcela.api.rate_limits import CALLER
from parcela.core.errors import ParcelaError
from parcela.repositories.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services

_PLAIN = re.compile(rb"(?:limit=([1-9][0-9]{0,2}))?")
ReadPage = Callable[[Services, ReadUnitOfWork, Caller, PageRequest], Awaitable[bytes]]
"""What gives the body of a page; it checks rights as the route does."""


class QuickLists:
    """ASGI middleware: stands inside of all others, in place of the router."""

    def __init__(self, app: ASGIApp, lists: Mapping[str, ReadPage]) -> None:
        """``lists``: path -> what reads its pages."""
        self._app = app
        self._lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain request, or pass it on."""
        read = self._lists.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        body = await _body(scope, read) if read else None
        if body is None:
            await self._app(scope, receive, send)
            return
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _body(scope: Scope, read: ReadPage) -> bytes | None:
    """The page; None where the route has to say something else."""
    caller: Caller | None = scope.get(CALLER)
    plain = _PLAIN.fullmatch(scope["query_string"])
    limit = int(plain[1] or DEFAULT_LIMIT) if plain else MAX_LIMIT + 1
    if caller is None or caller.speaks_vm_api or limit > MAX_LIMIT:
        return None
    services: Services = scope["app"].state.services
    try:
        async with services.uows.read() as uow:
            return await read(services, uow, caller, PageRequest(limit=limit))
    except ParcelaError:
        return None
