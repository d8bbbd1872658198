"""The hub: hands committed events to the clients of this process, each event once and in order.

A client that has got everything so far *follows*: it stands in a group with all clients that may see the same and want
it in the same form. An event is decided about and put into bytes once per group, and the bytes are handed to each
client's connection on the spot, without waking anything. A client that has no such connection, or whose connection has
no room just now, is *waiting*: events go into its bounded queue, and its own task works them off and follows again.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import structlog

from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.events.visibility import EVERYBODY, MEMBERSHIP, View, doubted

log = structlog.get_logger(__name__)
MadeT = TypeVar("MadeT")
QUEUE_EVENTS = 1000
KEPT_FORMS = 512
AT_ONCE = 500
"""So many clients get an event before others of this process have their turn."""
EVERYTHING = View(0, True, frozenset(), None, None, None)


class Framed(Protocol):
    """An event in the form of one kind of client."""

    @property
    def frame(self) -> bytes:
        """The bytes that go over the wire."""
        ...


MessageOf = Callable[[EventRecord], Framed]


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that takes bytes without waiting.

    Attributes:
        message_of: an event in its form; the same function for all clients of a kind, called once for all of them.
        write: takes bytes whole and at once, or takes nothing and says False.
    """

    message_of: MessageOf
    write: Callable[[bytes], bool]


class Subscription:
    """One client. One that does not keep up is told so and resumes by sequence number.

    Attributes:
        queue: events that wait for the client's own task; nobody has decided yet whether it may see them.
        overflowed: the queue was full; nothing comes after what is in it.
        last: number of the last event that the client is done with.
        user_id: who listens; 0 for ourselves.
        doubted: what this user may do has changed, or whether they may be here at all; the client's own task finds out.
        view: what it may see.
        judge: raises when somebody with the rights of now may not have this stream at all.
        ends_at: time of the loop in seconds at which its token has expired; infinite for none.
    """

    __slots__ = (
        "_on_lag",
        "doubted",
        "ends_at",
        "group",
        "judge",
        "last",
        "message_of",
        "overflowed",
        "queue",
        "user_id",
        "view",
        "write",
    )

    def __init__(self, on_lag: Callable[[], None], line: Line | None) -> None:
        """Begin empty; ``on_lag`` is called once, when the queue is full."""
        self.queue: asyncio.Queue[EventRecord] = asyncio.Queue(QUEUE_EVENTS)
        self.overflowed = False
        self.last = 0
        self.user_id = 0
        self.doubted = False
        self.ends_at = math.inf
        self.judge: Callable[[Caller], object] = lambda _caller: None
        self.view = EVERYTHING
        self.message_of = line.message_of if line else None
        self.write = line.write if line else _takes_nothing
        self.group: Group | None = None
        self._on_lag = on_lag

    def offer(self, records: Iterable[EventRecord]) -> None:
        """Add events without ever waiting."""
        if self.overflowed:
            return
        try:
            for record in records:
                self.queue.put_nowait(record)
        except asyncio.QueueFull:
            self.overflowed = True
            self._on_lag()


@dataclass(eq=False, slots=True)
class Group:
    """Clients that see the same and want it in the same form."""

    view: View
    message_of: MessageOf | None
    members: dict[Subscription, None] = field(default_factory=dict)


class EventHub:
    """Hands committed events to subscriptions; the slowest client never delays the others."""

    def __init__(self) -> None:
        """Begin without clients."""
        self._waiting: dict[Subscription, None] = {}
        self._groups: dict[tuple[View, MessageOf | None], Group] = {}
        self._batches: deque[Sequence[EventRecord]] = deque()
        self._delivery: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._made: OrderedDict[tuple[Callable[..., object], int], object] = OrderedDict()

    def publish(self, records: Sequence[EventRecord]) -> None:
        """Give events to every client, soon: whoever commits does not wait for thousands of clients."""
        self._batches.append(records)
        if self._delivery is None or self._delivery.done():
            # In a context of its own: it works for everybody, and not on behalf of the request that wrote first.
            self._delivery = asyncio.get_running_loop().create_task(self._deliver(), context=Context())
        for listener in self._listeners:
            listener()

    def connect(self, listener: Callable[[], None]) -> None:
        """Wake somebody who reads the stored events after every commit that has some."""
        self._listeners.append(listener)

    def once(self, record: EventRecord, make: Callable[[EventRecord], MadeT]) -> MadeT:
        """What ``make`` makes of an event, made once for all clients that need it."""
        key = (make, record.id)
        if key not in self._made:
            self._made[key] = make(record)
            if len(self._made) > KEPT_FORMS:
                self._made.popitem(last=False)
        return cast("MadeT", self._made[key])

    def subscribe(self, on_lag: Callable[[], None] = lambda: None, line: Line | None = None) -> Subscription:
        """A new client; every event from now on goes into its queue until it follows."""
        subscription = Subscription(on_lag, line)
        self._waiting[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more events for this one. It may be said twice."""
        self._leave(subscription)
        self._waiting.pop(subscription, None)

    def follow(self, subscription: Subscription) -> None:
        """The client has got everything so far: from now on it only hears of what is in its view.

        With a ``line`` that takes it, such an event is written at once and ``last`` moves on. Else it is put into the
        queue, and so is everything after it, until the client follows again.
        """
        if subscription.group is None:
            del self._waiting[subscription]
            self._join(subscription)

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._waiting) + sum(len(group.members) for group in self._groups.values())

    def _join(self, subscription: Subscription) -> None:
        key = (subscription.view, subscription.message_of)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(*key)
        group.members[subscription] = None
        subscription.group = group

    def _leave(self, subscription: Subscription) -> None:
        """Back to waiting."""
        group = subscription.group
        if group is not None:
            del group.members[subscription]
            if not group.members:
                del self._groups[group.view, group.message_of]
            subscription.group = None
            self._waiting[subscription] = None

    async def _deliver(self) -> None:
        while self._batches:
            for run in _runs(self._batches.popleft()):
                self._doubt(run[0])
                self._regroup(run[0])
                # All of them without a pause: one that begins to follow now must not miss the event.
                for subscription in list(self._waiting):
                    subscription.offer(run)
                for group in list(self._groups.values()):
                    seen = [record for record in run if group.view.sees(record)]
                    if seen:
                        await self._tell(group, seen)

    def _doubt(self, record: EventRecord) -> None:
        """Wake those whose tokens this event may have ended; it is the first that they get, if they still get any."""
        user_id = doubted(record)
        if user_id is None:
            return
        following = [one for group in self._groups.values() for one in group.members]
        for subscription in (*self._waiting, *following):
            if user_id in {EVERYBODY, subscription.user_id}:
                subscription.doubted = True
                self._leave(subscription)

    def _regroup(self, record: EventRecord) -> None:
        """Somebody's rights change with this event; it is the first that is seen with the new ones."""
        if not record.type.startswith(MEMBERSHIP):
            return
        for group in list(self._groups.values()):
            view = group.view.after(record)
            if view != group.view:
                for subscription in list(group.members):
                    self._leave(subscription)
                    subscription.view = view
                    self.follow(subscription)

    async def _tell(self, group: Group, seen: Sequence[EventRecord]) -> None:
        payload = self._payload(group.message_of, seen)
        members = list(group.members)
        for start in range(0, len(members), AT_ONCE):
            for subscription in _missed(members[start : start + AT_ONCE], group, payload, seen):
                self._leave(subscription)
                subscription.offer(seen)
            if start + AT_ONCE < len(members):
                await asyncio.sleep(0)

    def _payload(self, message_of: MessageOf | None, seen: Sequence[EventRecord]) -> bytes:
        """Nothing when it cannot be made: then each client's own task meets the error."""
        if message_of is None:
            return b""
        try:
            return b"".join([self.once(record, message_of).frame for record in seen])
        except Exception:
            log.exception("events.not_encoded", first_id=seen[0].id)
            return b""


def _missed(
    members: Iterable[Subscription], group: Group, payload: bytes, seen: Sequence[EventRecord]
) -> Iterator[Subscription]:
    """Write to the members; those that still are members and did not take it."""
    first, last = seen[0].id, seen[-1].id
    for subscription in members:
        if subscription.group is not group:
            continue  # it has gone meanwhile
        try:
            if payload and subscription.last < first and subscription.write(payload):
                subscription.last = last
                continue
        except Exception:
            # One broken connection does not keep the event from the others; its own task will find out.
            log.exception("events.not_written")
        yield subscription


def _takes_nothing(frames: bytes) -> bool:
    del frames
    return False


def _runs(records: Sequence[EventRecord]) -> list[list[EventRecord]]:
    """Records in order, with every change of rights at the beginning of a run of its own."""
    runs: list[list[EventRecord]] = []
    for record in records:
        if not runs or record.type.startswith(MEMBERSHIP) or doubted(record) is not None:
            runs.append([])
        runs[-1].append(record)
    return runs
