"""Requests whose bodies have not come begin a few at a time.

A thousand strangers that send headers at once would have the application begin a thousand requests before it looks at
anything else, and wait for a thousand bodies. A request that is whole, or has brought some kilobytes, never waits here.
"""

from asyncio import AbstractEventLoop
from collections import deque
from typing import Final, Protocol

TURNS: Final = "parcela.turns"
"""Key of the state of the lifespan."""
EVERY_S = 0.05
AT_ONCE = 10


class Unfinished(Protocol):
    """A connection with such a request."""

    def begin(self) -> bool:
        """Let the application begin; False when it has, or the connection has ended."""
        ...


class Turns:
    """The queue; for the event loop's thread."""

    def __init__(self) -> None:
        """Begin empty."""
        self._queue: deque[Unfinished] = deque()
        self._is_called = False

    def join(self, one: Unfinished, loop: AbstractEventLoop) -> None:
        """It begins soon, after those that are there."""
        self._queue.append(one)
        self._call(loop)

    def _call(self, loop: AbstractEventLoop) -> None:
        if self._queue and not self._is_called:
            self._is_called = True
            loop.call_later(EVERY_S, self._begin, loop)

    def _begin(self, loop: AbstractEventLoop) -> None:
        self._is_called = False
        begun = 0
        while self._queue and begun < AT_ONCE:
            begun += self._queue.popleft().begin()
        self._call(loop)
