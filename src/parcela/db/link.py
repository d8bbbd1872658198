"""The line to a store that one can do without: up or down, told once per change, tried again in the background."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from parcela.core.tasks import end

log = structlog.get_logger(__name__)
PROBED_EVERY_S = 0.5
MAX_REASON_CHARS = 200


class StoreLostError(Exception):
    """The store does not answer (and is not asked while that is known)."""


class Link:
    """Knows whether a store answers.

    While it does not, nobody waits for it: one background task asks it again and again, and tells those who listen
    when it is back. One warning when it is lost, one line when it is back.
    """

    def __init__(
        self,
        name: str,
        effect: str,
        ping: Callable[[], Awaitable[object]],
        *,
        every_s: float = PROBED_EVERY_S,
        watched: bool = False,
    ) -> None:
        """Begin without an opinion.

        Args:
            name: of the store, for log lines and health.
            effect: what is different while it is lost; health says it.
            ping: raises while the store cannot be used.
            every_s: pause between two questions, in seconds.
            watched: ask also while it answers; else its users notice.
        """
        self.name = name
        self.effect = effect
        self.reason = "not asked yet"
        self.losses = 0
        self._ping = ping
        self._every_s = every_s
        self._up = asyncio.Event()
        self._watched = watched
        self._probe: asyncio.Task[None] | None = None
        self._closed = False
        self._on_loss: list[Callable[[], None]] = []
        self._on_return: list[Callable[[], Awaitable[object]]] = []

    @property
    def up(self) -> bool:
        """Whether the store answered last time."""
        return self._up.is_set()

    def on_loss(self, react: Callable[[], None]) -> None:
        """Call this when the store is lost."""
        self._on_loss.append(react)

    def on_return(self, react: Callable[[], Awaitable[object]]) -> None:
        """Await this before the store counts as back (also at the first time); it may fail, and is repeated then."""
        self._on_return.append(react)

    async def open(self) -> None:
        """Ask the store for the first time; one that does not answer is lost from the beginning."""
        try:
            await self._ask()
        except Exception as exc:  # noqa: BLE001 (whatever is wrong with it, the process starts without it)
            self.lost(exc)
        else:
            self._up.set()
            if self._watched:
                self._start()

    def lost(self, exc: BaseException, *, since: int | None = None) -> None:
        """Note that the store did not answer.

        Args:
            exc: how it showed.
            since: ``losses`` when the question was asked; an answer from before the last loss tells nothing new.
        """
        if self._closed or (self.losses and not self.up) or (since is not None and since != self.losses):
            return
        self.losses += 1
        self._up.clear()
        self.reason = f"{type(exc).__name__}: {exc}"[:MAX_REASON_CHARS]
        log.warning("store.lost", store=self.name, reason=self.reason, effect=self.effect)
        for react in self._on_loss:
            react()
        self._start()

    def _start(self) -> None:
        if self._probe is None:
            self._probe = asyncio.get_running_loop().create_task(self._keep_asking())

    async def wait_up(self) -> None:
        """Return as soon as the store is there."""
        await self._up.wait()

    async def _ask(self) -> None:
        await self._ping()
        for react in self._on_return:
            await react()

    async def _keep_asking(self) -> None:
        while self._watched or not self.up:
            await asyncio.sleep(self._every_s)
            since = self.losses
            try:
                await (self._ping() if self.up else self._ask())
            except Exception as exc:  # noqa: BLE001 (it is asked again)
                self.lost(exc, since=since)
            else:
                self._note_return()
        self._probe = None

    def _note_return(self) -> None:
        if not self.up:
            self.reason = ""
            self._up.set()
            log.info("store.returned", store=self.name)

    async def aclose(self) -> None:
        """Ask no more."""
        self._closed = True
        if self._probe is not None:
            await end(self._probe)
