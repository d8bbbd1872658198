"""Requests that cost much and may be many begin a few at a time: those whose bodies have not come, and WebSockets.

Thousands of them at once would all begin before anything else is looked at. So only so many begin per moment; others
wait in a queue. A request that is whole, or has brought some kilobytes, never does.
"""

import asyncio
import sys
from asyncio import AbstractEventLoop
from typing import Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

TURNS: Final = "parcela.turns"
"""Key of the state of the lifespan: the queue of requests without bodies."""
EVERY_S = 0.01
"""Moments are short and few begin in each: what begins together runs in turn at every step, and each step of another
request waits for all of them. The next moment is counted from the end of the last, so a busy loop lets fewer begin."""
UNFINISHED_AT_ONCE, UNFINISHED_MOST = 2, 256
HANDSHAKES_AT_ONCE = 2


class Waiting(Protocol):
    """What may have to wait."""

    def begin(self) -> None:
        """Begin."""
        ...


class Turns:
    """A queue; for the event loop's thread."""

    def __init__(self, at_once: int, most: int = 0) -> None:
        """So many begin within ``EVERY_S``, and at most ``most`` are under way; 0 for any number."""
        self._at_once = self._left = at_once
        self._most = most or sys.maxsize
        self._under_way = 0
        self._queue: dict[Waiting, None] = {}
        self._is_called = False

    def join(self, one: Waiting, loop: AbstractEventLoop) -> None:
        """It begins now, or after those that are there."""
        self._queue[one] = None
        self._begin()
        self._call(loop)

    def leave(self, one: Waiting) -> None:
        """It does not wait any more. It may be said of one that does not."""
        self._queue.pop(one, None)

    def end(self, loop: AbstractEventLoop) -> None:
        """One that has begun here is not under way any more."""
        self._under_way -= 1
        self._call(loop)

    def _begin(self) -> None:
        while self._queue and self._left and self._under_way < self._most:
            one = next(iter(self._queue))
            del self._queue[one]
            self._left -= 1
            self._under_way += 1
            one.begin()

    def _call(self, loop: AbstractEventLoop) -> None:
        may_begin = bool(self._queue) and self._under_way < self._most
        if (may_begin or self._left < self._at_once) and not self._is_called:
            self._is_called = True
            loop.call_later(EVERY_S, self._next, loop)

    def _next(self, loop: AbstractEventLoop) -> None:
        self._is_called = False
        self._left = self._at_once
        self._begin()
        self._call(loop)


class _Handshake:
    """A task that waits."""

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self._future = future

    def begin(self) -> None:
        self._future.set_result(None)


class HandshakeTurns:
    """ASGI middleware: lets WebSockets in when it is their turn."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app
        self._turns = Turns(HANDSHAKES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrap one request."""
        if scope["type"] == "websocket":
            loop = asyncio.get_running_loop()
            turn = loop.create_future()
            handshake = _Handshake(turn)
            self._turns.join(handshake, loop)
            try:
                await turn
            finally:  # the server may stop meanwhile
                self._turns.leave(handshake)
        await self._app(scope, receive, send)
