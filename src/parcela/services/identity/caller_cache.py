"""What spares authentication the database: callers remembered for moments, and uses of tokens written later."""

import asyncio
from datetime import datetime, timedelta

import structlog

from parcela.core.disks import is_storage_trouble
from parcela.core.origin import detach
from parcela.services.access import Caller
from parcela.services.identity.login_limits.guard import LoginGuard

log = structlog.get_logger(__name__)

KEPT_FOR = timedelta(seconds=30)
MAX_ENTRIES = 10_000
USE_NOTED_EVERY = timedelta(minutes=1)
PURGED_EVERY = timedelta(hours=1)


class CallerCache:
    """Hash of a token -> caller, for at most thirty seconds and at most so many tokens.

    In this process a change takes effect at once (``forget_user``); the time is what other processes may be behind.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        """Begin empty."""
        self.epoch = 0
        self.hits = self.misses = 0
        self._max_entries = max_entries
        self._entries: dict[str, tuple[Caller, datetime]] = {}
        self._by_user: dict[int, set[str]] = {}

    def counts(self) -> tuple[int, int]:
        """Hits and misses."""
        return self.hits, self.misses

    def get(self, key: str, now: datetime) -> Caller | None:
        """The caller, while the entry is good."""
        entry = self._entries.get(key)
        # The second: a clock that was set back would keep it for as long as it was set back by.
        if entry is None or entry[1] <= now or entry[1] > now + KEPT_FOR:
            self._drop(key)
            self.misses += 1
            return None
        self.hits += 1
        return entry[0]

    def put(self, key: str, caller: Caller, until: datetime, *, epoch: int) -> None:
        """Remember a caller, unless something was forgotten since ``epoch``.

        Without the epoch, a lookup that read the database just before a revocation would bring the token back to life.
        """
        if epoch != self.epoch:
            return
        self._drop(key)
        if len(self._entries) >= self._max_entries:
            self._drop(next(iter(self._entries)))
        self._entries[key] = (caller, until)
        self._by_user.setdefault(caller.user_id, set()).add(key)

    def forget_user(self, user_id: int) -> None:
        """Look this user's tokens up again."""
        self.epoch += 1
        for key in tuple(self._by_user.get(user_id, ())):
            self._drop(key)

    def forget_all(self) -> None:
        """Look all tokens up again."""
        self.epoch += 1
        self._entries.clear()
        self._by_user.clear()

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        keys = self._by_user[entry[0].user_id]
        keys.discard(key)
        if not keys:
            del self._by_user[entry[0].user_id]


class Housekeeper:
    """Writes the last uses of tokens in the background and removes what has expired.

    Never inside a request: on SQLite the request may hold the one writer lock already. A failure is logged, no more.
    """

    def __init__(self, guard: LoginGuard) -> None:
        """Nothing runs until the first use is noted."""
        self._uows = guard.uows
        self._throttles = guard.throttles
        self._origins = guard.origins
        self._uses: dict[int, tuple[datetime, str]] = {}
        self._purged_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    def note_use(self, token_id: int, last_used_at: datetime | None, address: str) -> None:
        """Write soon that a token was used now, unless its last noted use is less than a minute ago."""
        now = self._uows.clock()
        if last_used_at is not None and now - last_used_at < USE_NOTED_EVERY:
            return
        self._uses[token_id] = (now, address)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def settle(self) -> None:
        """Wait until everything noted so far is written."""
        if self._task is not None:
            await self._task

    async def purge(self) -> int:
        """Remove expired tokens, counters without meaning and addresses that were not used for long; how many rows."""
        async with self._uows.write() as uow:
            removed = await uow.tokens.purge() + await self._throttles.purge(uow)
            removed += await uow.known_addresses.purge(uow.clock() - self._origins.kept_for)
            await uow.commit()
        return removed

    async def _write(self) -> None:
        detach()
        while self._uses:
            uses, self._uses = self._uses, {}
            try:
                async with self._uows.write() as uow:
                    await uow.tokens.note_use(uses)
                    await uow.commit()
                await self._purge_if_due()
            except Exception as exc:  # noqa: BLE001 (a note about the past must never hurt a request)
                tell = log.debug if is_storage_trouble(exc) else log.warning  # the first is logged once for all
                tell("auth.housekeeping_failed", tokens=len(uses), reason=str(exc))

    async def _purge_if_due(self) -> None:
        now = self._uows.clock()
        if self._purged_at is None or now - self._purged_at >= PURGED_EVERY:
            self._purged_at = now
            await self.purge()
