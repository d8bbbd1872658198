"""Whether an optional store answers: said once when it is lost, once when it is back."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Link:
    """The connection of this process to one optional store.

    Attributes:
        name: of the store, e.g. ``redis``; health shows it.
        up: whether it answered last.
        reason: why it does not answer; "" while it does.
    """

    def __init__(self, name: str, effect: str) -> None:
        """Begin before the first answer; ``effect`` says what is different while the store is away."""
        self.name = name
        self.effect = effect
        self.up = False
        self.reason = "not asked yet"
        self._told = False
        self._listeners: list[Callable[[], None]] = []

    def on_return(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever the store is (back) there, before anybody uses it again."""
        self._listeners.append(listener)

    def lost(self, reason: str) -> None:
        """The store did not answer; the first to notice says so, once."""
        self.reason = reason or "no answer"
        self.up = False
        if not self._told:
            self._told = True
            log.warning("store.lost", store=self.name, reason=self.reason, effect=self.effect)

    def found(self) -> None:
        """The store answers."""
        if self.up:
            return
        for listener in self._listeners:
            listener()
        log.info("store.back" if self._told else "store.connected", store=self.name)
        self.up, self.reason, self._told = True, "", False


class Watch:
    """A background task that lives as long as its store is used."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` until ``aclose``."""
        self._task = asyncio.create_task(work, name=name)

    async def aclose(self) -> None:
        """Stop it; may be called twice."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
