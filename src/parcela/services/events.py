"""Events: the stored sequence, and the hub that streams it to the clients of this process."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from parcela.core.permissions import Permission, ProjectRole
from parcela.core.tasks import end
from parcela.repositories.events import EventRecord
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller

ResultT = TypeVar("ResultT")
BATCH = 500
QUEUE_EVENTS = 1000
KEEP_ALIVE_S = 15.0
WRITTEN_EVENTS = 256


class Subscription:
    """One client's bounded queue. A client that does not keep up is told so and resumes by sequence number."""

    def __init__(self, on_lag: Callable[[], None]) -> None:
        """Begin empty; ``on_lag`` is called once, when the queue is full."""
        self.queue: asyncio.Queue[EventRecord] = asyncio.Queue(QUEUE_EVENTS)
        self.overflowed = False
        self._on_lag = on_lag

    def offer(self, record: EventRecord) -> None:
        """Add an event without ever waiting."""
        if self.overflowed:
            return
        try:
            self.queue.put_nowait(record)
        except asyncio.QueueFull:
            self.overflowed = True
            self._on_lag()


class EventHub:
    """Hands committed events to subscriptions; the slowest client never delays the others."""

    def __init__(self) -> None:
        """Begin without clients."""
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Callable[[], None]] = []
        self._written: OrderedDict[int, str] = OrderedDict()

    def publish(self, records: Sequence[EventRecord]) -> None:
        """Give events to every client."""
        for subscription in self._subscriptions:
            for record in records:
                subscription.offer(record)
        for listener in self._listeners:
            listener()

    def connect(self, listener: Callable[[], None]) -> None:
        """Wake somebody who reads the stored events after every commit that has some."""
        self._listeners.append(listener)

    def text_of(self, record: EventRecord, write: Callable[[EventRecord], str]) -> str:
        """An event as the streams send it, written once for all clients that wait for it."""
        text = self._written.get(record.id)
        if text is None:
            text = self._written[record.id] = write(record)
            if len(self._written) > WRITTEN_EVENTS:
                self._written.popitem(last=False)
        return text

    def subscribe(self, on_lag: Callable[[], None] = lambda: None) -> Subscription:
        """A new queue that gets every event from now on."""
        subscription = Subscription(on_lag)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more events for this one."""
        self._subscriptions.discard(subscription)

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)


class StreamLaggedError(Exception):
    """The client did not read fast enough; ``last_id`` is the last event it got: resume from there."""

    def __init__(self, last_id: int) -> None:
        """Name the last event that was handed out."""
        super().__init__(last_id)
        self.last_id = last_id


def _nouns(caller: Caller) -> frozenset[str] | None:
    """What a personal token is told of: things of its scopes. ``event:read`` is the scope for all of one's own."""
    if caller.scopes is None or "*" in caller.scopes or caller.in_scope("event", write=False):
        return None
    return frozenset(scope.split(":", 1)[0] for scope in caller.scopes)


def _may_see(caller: Caller, record: EventRecord, *, everything: bool) -> bool:
    if everything:
        return True
    nouns = _nouns(caller)
    mine = record.owner_id == caller.user_id or caller.manages(record.project_id)
    return mine and (nouns is None or record.type.split(".", 1)[0] in nouns)


def _after(record: EventRecord, caller: Caller) -> Caller:
    """The caller once this event has happened: a stream outlives changes of its caller's role in a project."""
    project_id, facts = record.project_id, record.data
    if project_id is None or not record.type.startswith("project.member_") or facts.get("user_id") != caller.user_id:
        return caller
    projects = {key: role for key, role in caller.projects.items() if key != project_id}
    if record.type != "project.member_removed":
        projects[project_id] = ProjectRole(facts["role"])
    return replace(caller, projects=projects)


class EventService:
    """Reads and streams events a caller may see."""

    def __init__(self, uows: UnitOfWorkFactory, hub: EventHub, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        """Take the store and the hub; ``keep_alive_s``: how long a stream may be silent (proxies cut silent ones)."""
        self.keep_alive_s = keep_alive_s
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
            nouns=None if owner_id is None else _nouns(caller),
            slice_id=slice_id,
            types=types,
        )

    async def stream(
        self,
        caller: Caller,
        after_id: int | None,
        *,
        slice_id: int | None = None,
        on_lag: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[EventRecord, None]:
        """Every event from ``after_id`` on (None: from now on), once and in order, without end.

        The client is subscribed before the stored events are read, so nothing falls between the two; what comes twice
        is recognised by its number. ``on_lag`` is called when the client is too far behind, also while it is being
        written to: what is written then may never end.

        Raises:
            StreamLaggedError: the client did not keep up.
        """
        subscription = self._hub.subscribe(on_lag)
        everything = caller.can(Permission.EVENT_READ_ALL)
        try:
            last = await self._whole(self._last_id()) if after_id is None else after_id
            while True:
                batch = await self._whole(self._stored(caller, last, slice_id))
                for record in batch:
                    last = record.id
                    caller = _after(record, caller)
                    yield record
                if len(batch) < BATCH:
                    break
            while True:
                if subscription.overflowed and subscription.queue.empty():
                    raise StreamLaggedError(last)
                record = await subscription.queue.get()
                if record.id <= last:
                    continue
                last = record.id
                caller = _after(record, caller)
                if _may_see(caller, record, everything=everything) and (
                    slice_id is None or record.slice_id == slice_id
                ):
                    yield record
        finally:
            self._hub.unsubscribe(subscription)

    async def with_pauses(self, records: AsyncGenerator[EventRecord, None]) -> AsyncGenerator[EventRecord | None, None]:
        """The same events, and None whenever nothing came for ``keep_alive_s``. Closes ``records`` at the end."""
        pending: asyncio.Future[EventRecord] = asyncio.ensure_future(anext(records))
        try:
            while True:
                done, _ = await asyncio.wait({pending}, timeout=self.keep_alive_s)
                if not done:
                    yield None
                    continue
                record = pending.result()
                pending = asyncio.ensure_future(anext(records))
                yield record
        finally:
            await end(pending)
            await records.aclose()

    async def _last_id(self) -> int:
        async with self._uows.read() as uow:
            return await uow.events.last_id()

    async def _stored(self, caller: Caller, after_id: int, slice_id: int | None) -> list[EventRecord]:
        async with self._uows.read() as uow:
            return await self.since(uow, caller, after_id, limit=BATCH, slice_id=slice_id)

    async def _whole(self, read: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Let a read come to its end, whoever goes away meanwhile.

        A client that hangs up cancels its stream; a read that is cut off in the middle would leave its database
        connection to the garbage collector.
        """
        task = asyncio.create_task(read)
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)
        return await asyncio.shield(task)
