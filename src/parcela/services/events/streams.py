"""Events: the stored sequence, and streams of it for the clients of this process."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from parcela.core.errors import ErrorKind, ParcelaError, Problem
from parcela.core.permissions import Permission
from parcela.repositories.events import EventRecord
from parcela.repositories.tokens import TokenFacts
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.auth_rules import caller_of, unknown_token
from parcela.services.events.hub import EventHub, Subscription
from parcela.services.events.visibility import MEMBERSHIPS, View, after, nouns_of

ResultT = TypeVar("ResultT")
Judge = Callable[[ReadUnitOfWork], Coroutine[Any, Any, datetime | None]]
"""Raises when somebody may not go on; gives the time at which their token or session ends by itself."""
BATCH = 500
LATE_S = 0.01
"""A token is judged this long after its expiry, so that it is judged once."""
KEEP_ALIVE_S = 15.0
CLOSE_S = 10.0
"""A database that does not answer keeps nobody from stopping for longer."""


class StreamLaggedError(Exception):
    """The client did not read fast enough; ``last_id`` is the last event it got: resume from there."""

    def __init__(self, last_id: int) -> None:
        """Name the last event that was handed out."""
        super().__init__(last_id)
        self.last_id = last_id


class EventService:
    """Reads and streams events a caller may see."""

    def __init__(
        self, uows: UnitOfWorkFactory, hub: EventHub, keep_alive_s: float = KEEP_ALIVE_S, reads_at_once: int = 1
    ) -> None:
        """Take the store and the hub.

        Args:
            uows: the store.
            hub: where events come from.
            keep_alive_s: how long a stream may be silent (proxies cut silent ones).
            reads_at_once: database reads of all streams side by side. Fewer than there are connections: when hundreds
                of streams open at once, pages and other requests do not queue behind all of them.
        """
        self.keep_alive_s = keep_alive_s
        self._places = asyncio.Semaphore(reads_at_once)
        self._uows = uows
        self._hub = hub
        self._reads: set[asyncio.Task[Any]] = set()

    async def since(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        after_id: int,
        *,
        limit: int,
        slice_id: int | None = None,
        types: Sequence[str] = (),
    ) -> list[EventRecord]:
        """Stored events with a number above ``after_id``, oldest first."""
        owner_id = None if caller.can(Permission.EVENT_READ_ALL) else caller.user_id
        return await uow.events.since(
            after_id,
            limit=limit,
            owner_id=owner_id,
            managed=caller.managed,
            nouns=None if owner_id is None else nouns_of(caller),
            slice_id=slice_id,
            types=types,
        )

    async def beginning(self, after_id: int | None) -> int:
        """Number after which a stream begins: ``after_id``, or (None) that of the newest event.

        Ask before the client is told that it is connected: what it does from then on happens after this number.

        Raises:
            ParcelaError: see ``require_kept``.
        """
        if after_id is None:
            return await self._whole(self._last_id())
        if after_id:
            await self._whole(self._check_kept(after_id))
        return after_id

    async def require_kept(self, uow: ReadUnitOfWork, after_id: int) -> None:
        """Tell somebody who resumes from a number that events after it are not kept any more; 0 is the oldest kept.

        Raises:
            ParcelaError: kind ``gone``, code ``events_gone``, with the number of the oldest event that is kept.
        """
        first = await uow.events.first_id() if after_id else 0
        if first > after_id + 1:
            text = (
                f"Events before number {first} are not kept any more, so some after {after_id} are missing. Read what "
                f"you need anew, and resume with since={first - 1}."
            )
            raise ParcelaError(
                ErrorKind.GONE, "events_gone", text, problems=[Problem("query.since", text, "events_gone")]
            )

    async def _check_kept(self, after_id: int) -> None:
        async with self._uows.read() as uow:
            await self.require_kept(uow, after_id)

    async def stream(
        self,
        caller: Caller,
        after_id: int,
        *,
        subscription: Subscription | None = None,
        slice_id: int | None = None,
        types: frozenset[str] | None = None,
        pause_at: Callable[[], float] | None = None,
    ) -> AsyncGenerator[EventRecord | None, None]:
        """Every event after ``after_id`` (see ``beginning``), once and in order, without end.

        The client is subscribed before the stored events are read, so nothing falls between the two; what comes twice
        is recognised by its number. What the hub itself wrote to the client's line does not come here.

        Args:
            caller: who listens.
            after_id: number of the last event the client has, 0 and up.
            subscription: of the hub; it ends with the stream. Left out: one without a line.
            slice_id: only events of this slice.
            types: only these types.
            pause_at: asked whenever there is nothing to tell: the time of the loop, in seconds, to wait until. Then
                None comes instead of an event.

        The caller is judged again, by the token they came with, at the beginning and whenever an event says that their
        rights have changed: who was logged out, demoted or removed hears nothing more than they may. The stream ends
        when that token expires.

        Raises:
            StreamLaggedError: the client did not keep up.
            ParcelaError: ``unauthenticated`` when the caller's token is worth nothing any more; what the subscription's
                ``judge`` raises.
        """
        client = subscription or self._hub.subscribe()
        client.user_id, client.doubted = caller.user_id, True
        try:
            client.last = after_id
            full = True
            while full:
                caller = await self._undoubted(client, caller)
                batch = await self._whole(self._stored(caller, client.last, slice_id, types))
                full = len(batch) == BATCH
                for record in batch:
                    caller = after(record, caller)
                    yield record
                    client.last = record.id
            client.view = View.of(caller, slice_id, types)
            while True:
                live = await self._next(client, pause_at)
                if client.doubted:
                    client.view = View.of(await self._undoubted(client, caller), slice_id, types)
                if live is None:
                    yield None
                elif live.id > client.last:
                    client.view = client.view.after(live)
                    if client.view.sees(live):
                        yield live
                    client.last = live.id
        finally:
            self._hub.unsubscribe(client)

    async def until_refused(self, user_id: int, judge: Judge) -> None:
        """Ask a judge now, whenever an event says that rights of a user may have changed, and at the time it names.

        Raises:
            ParcelaError: what the judge raises; that is the only end.
        """
        client = self._hub.subscribe()
        client.user_id, client.view = user_id, MEMBERSHIPS
        try:
            while True:
                while not client.queue.empty():
                    client.queue.get_nowait()
                client.ends_at = self._loop_time(await self._whole(self._judged(judge)))
                await self._next(client, None)
        finally:
            self._hub.unsubscribe(client)

    async def _judged(self, judge: Judge) -> datetime | None:
        async with self._uows.read() as uow:
            return await judge(uow)

    async def _next(self, client: Subscription, pause_at: Callable[[], float] | None) -> EventRecord | None:
        """What the client is told next; nobody has decided yet whether it is for this one."""
        if client.queue.empty():
            if client.overflowed:
                raise StreamLaggedError(client.last)
            self._hub.follow(client)
        until = client.ends_at if pause_at is None else min(pause_at(), client.ends_at)
        try:
            async with asyncio.timeout_at(None if until == math.inf else until):
                return await client.queue.get()
        except TimeoutError:
            client.doubted = client.doubted or until == client.ends_at
            return None

    async def _undoubted(self, client: Subscription, caller: Caller) -> Caller:
        """The caller with the rights of now."""
        was_doubted, client.doubted = client.doubted, False  # before the look: a doubt during it counts anew
        if not was_doubted or not caller.token_id:
            return caller
        facts = await self._whole(self._facts(caller.token_id))
        if facts is None:
            raise unknown_token()
        client.ends_at = self._loop_time(facts.expires_at)
        present = caller_of(facts, self._uows.clock())
        client.judge(present)
        return present

    async def _facts(self, token_id: int) -> TokenFacts | None:
        async with self._uows.read() as uow:
            return await uow.tokens.facts_by_id(token_id)

    def _loop_time(self, moment: datetime | None) -> float:
        """Time of the loop in seconds, a little after a moment of the clock; infinite for None."""
        if moment is None:
            return math.inf
        left_s = max(0.0, (moment - self._uows.clock()).total_seconds())
        return asyncio.get_running_loop().time() + left_s + LATE_S

    def silence(self) -> float:
        """For ``pause_at``: nothing may come for ``keep_alive_s``."""
        return asyncio.get_running_loop().time() + self.keep_alive_s

    async def _last_id(self) -> int:
        async with self._uows.read() as uow:
            return await uow.events.last_id()

    async def _stored(
        self, caller: Caller, after_id: int, slice_id: int | None, types: frozenset[str] | None
    ) -> list[EventRecord]:
        async with self._uows.read() as uow:
            return await self.since(
                uow, caller, after_id, limit=BATCH, slice_id=slice_id, types=sorted(types) if types else ()
            )

    async def aclose(self) -> None:
        """Wait for reads whose clients have gone: a database that is closed under one leaves its connection open."""
        if self._reads:
            await asyncio.wait(self._reads, timeout=CLOSE_S)

    async def _whole(self, read: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Let a read come to its end, whoever goes away meanwhile.

        A client that hangs up cancels its stream; a read that is cut off in the middle would leave its database
        connection to the garbage collector.
        """
        task = asyncio.create_task(self._in_turn(read))
        self._reads.add(task)  # aclose waits for it
        task.add_done_callback(self._reads.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, read: Coroutine[Any, Any, ResultT]) -> ResultT:
        async with self._places:
            return await read
