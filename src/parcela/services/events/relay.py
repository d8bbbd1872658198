"""Events between the processes of an installation.

The database is the truth: events are numbered there without gaps, in the order of commits. Redis only says "look", and
where there is no Redis (or it is lost) every process looks about once a second. So nothing is lost or doubled when a
message is, and the order is that of the numbers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from parcela.core.errors import ParcelaError
from parcela.core.origin import detach
from parcela.core.tasks import end, is_set_within
from parcela.repositories.events import EventRecord
from parcela.repositories.redis_shared import Shared
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.events.list_cache_scopes import scopes_of

log = structlog.get_logger(__name__)
LOOKED_EVERY_S = 1.0
BATCH = 500
Listener = Callable[[Sequence[EventRecord]], None]


def sharing(shared: Shared) -> Callable[[Sequence[EventRecord]], Awaitable[None]]:
    """What tells the other replicas of committed events: new versions of the lists, and a call to look."""

    async def share(records: Sequence[EventRecord]) -> None:
        await shared.changed(scopes_of(records), records[-1].id)

    return share


class Relay:
    """Hands every event of the installation to the streams of this process, once and in order."""

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        publish: Listener,
        forget: Listener,
        shared: Shared | None,
        *,
        every_s: float = LOOKED_EVERY_S,
    ) -> None:
        """Nothing happens before ``start``.

        Args:
            uows: where events are.
            publish: the streams; gets every event once, in order.
            forget: caches; gets events of other processes (and perhaps some of our own again).
            shared: Redis, when there is one.
            every_s: seconds between two looks when nobody wakes us.
        """
        self._uows = uows
        self._publish = publish
        self._forget = forget
        self._shared = shared
        self._every_s = every_s
        self._last = 0
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin with the events that come from now on."""
        async with self._uows.read() as uow:
            self._last = await uow.events.last_id()
        works: list[Callable[[], Awaitable[None]]] = [self._follow]
        if self._shared is not None:
            works.append(self._listen)
        self._tasks = [asyncio.ensure_future(work()) for work in works]

    def committed(self, records: Sequence[EventRecord]) -> None:
        """Take events of this process: at once when they are the next ones, else in their turn."""
        if records[0].id == self._last + 1:
            self._last = records[-1].id
            self._publish(records)
        else:
            self._wake.set()

    async def _follow(self) -> None:
        detach()
        while True:
            await is_set_within(self._wake, self._every_s)
            self._wake.clear()
            try:
                await self._catch_up()
            except ParcelaError as exc:
                log.debug("events.not_followed", reason=exc.message)  # those who serve requests say it aloud
            except Exception as exc:  # noqa: BLE001 (it looks again in a moment)
                log.warning("events.not_followed", reason=str(exc))

    async def _catch_up(self) -> None:
        full = True
        while full:
            async with self._uows.read() as uow:
                found = await uow.events.since(self._last, limit=BATCH)
            full = len(found) == BATCH
            # Meanwhile this process may have handed out some of them itself.
            fresh = [record for record in found if record.id > self._last]
            if fresh:
                self._last = fresh[-1].id
                self._forget(fresh)
                self._publish(fresh)

    async def _listen(self) -> None:
        detach()
        if self._shared is not None:
            async for _ in self._shared.wakes():
                self._wake.set()

    async def aclose(self) -> None:
        """Stop. Call it before the database is closed."""
        await end(*self._tasks)
