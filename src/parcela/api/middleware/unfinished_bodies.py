"""ASGI middleware: what request bodies hold in memory while they come, and strangers' bodies that nobody needs.

A body is read before the application looks who sent it, so strangers could have thousands of them kept. Where a route
takes signed-in callers only and the caller is none, the body is not read at all: the route sees an empty one, and
answers 401 in its own way before it misses anything.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi.dependencies.models import Dependant
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parcela.api.dependencies.uploads import UNLIMITED
from parcela.api.rate_limits import CALLER, STRANGER
from parcela.core.errors import ParcelaError
from parcela.services.traffic.body_memory import STRANGERS, BodyMemory

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
Dependency = Callable[..., Any]


class NoRoomError(HTTPException):
    """There is no memory for the rest of a body. Other kinds of errors would be taken for a bad body."""

    def __init__(self, error: ParcelaError) -> None:
        """Say it as ``BodyMemory`` did; the connection ends, for nobody reads the rest."""
        super().__init__(503, error.message, {"Retry-After": str(error.retry_after_s), "Connection": "close"})
        self.code = error.code


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def needs_one_of(dependant: Dependant, callers: AbstractSet[Dependency]) -> bool:
    """Whether a route has one of these dependencies, which refuse strangers whatever they send."""
    return dependant.call in callers or any(needs_one_of(one, callers) for one in dependant.dependencies)


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


class UnfinishedBodies:
    """Stands inside of what finds out who asks."""

    def __init__(self, app: ASGIApp, callers: AbstractSet[Dependency]) -> None:
        """Wrap an application; ``callers``: its dependencies that refuse everybody who is not signed in."""
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] != "http" or scope["method"] in BODILESS or not _has_body(scope):
            await self._app(scope, receive, send)
        elif scope.get(STRANGER) and self._is_for_callers(scope):
            await self._app(scope, _nothing, send)
        else:
            caller, memory = scope.get(CALLER), scope["app"].state.services.traffic.bodies
            held = _Held(scope, receive, memory, caller.user_id if caller else STRANGERS)
            try:
                await self._app(scope, held.receive, send)
            finally:
                held.give_back()

    def _is_for_callers(self, scope: Scope) -> bool:
        for route in scope["app"].router.routes:
            if route.matches(scope)[0] is Match.FULL:
                dependant = getattr(route, "dependant", None)
                return dependant is not None and needs_one_of(dependant, self._callers)
        return False


class _Held:
    """Counts one body."""

    def __init__(self, scope: Scope, receive: Receive, memory: BodyMemory, user_id: int) -> None:
        self._scope = scope
        self._receive = receive
        self._memory = memory
        self._user_id = user_id
        self._size = 0

    async def receive(self) -> Message:
        """The next message.

        Raises:
            NoRoomError: there is no room for what it brings.
        """
        message = await self._receive()
        # Uploads go to disk as they come.
        if message["type"] == "http.request" and self._scope.get(MAX_BODY_SIZE_SCOPE_KEY) != UNLIMITED:
            size = len(message.get("body", b""))
            try:
                self._memory.take(self._user_id, size)
            except ParcelaError as error:
                raise NoRoomError(error) from error
            self._size += size
        return message

    def give_back(self) -> None:
        """The request has ended."""
        if self._size:
            self._memory.give_back(self._user_id, self._size)
