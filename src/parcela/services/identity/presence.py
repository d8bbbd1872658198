"""Who was seen when, by any replica: kept in Redis, because the database notes it once a minute at most."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from parcela.core.clock import Clock
from parcela.core.origin import detach
from parcela.repositories.redis_shared import Shared

NOTED_EVERY = timedelta(seconds=5)


class Presence:
    """Notes users in the background; without Redis it knows nothing, and the database's notes are all there is."""

    def __init__(self, clock: Clock, shared: Shared | None) -> None:
        """Take the clock and Redis, when there is one."""
        self._clock = clock
        self._shared = shared
        self._waiting: dict[int, datetime] = {}
        self._noted: dict[int, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def touch(self, user_id: int) -> None:
        """This user was seen now. Costs a request nothing: many of them are one message."""
        if self._shared is None:
            return
        now = self._clock()
        noted = self._noted.get(user_id)
        if noted is not None and now - noted < NOTED_EVERY:
            return
        self._noted[user_id] = self._waiting[user_id] = now
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write(self._shared))

    async def seen(self, user_ids: Sequence[int]) -> Mapping[int, datetime]:
        """When users were seen last, as far as known."""
        return await self._shared.seen(user_ids) if self._shared is not None else {}

    async def _write(self, shared: Shared) -> None:
        detach()
        while self._waiting:
            seen, self._waiting = self._waiting, {}
            await shared.touch(seen)

    async def aclose(self) -> None:
        """Wait for what is being written."""
        if self._task is not None:
            await self._task
