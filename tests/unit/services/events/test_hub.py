"""The hub: what clients are told, in which order, and what happens to those whose connection has no room."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from parcela.core.permissions import ProjectRole
from parcela.repositories.events import EventRecord
from parcela.services.access import Caller
from parcela.services.events.hub import AT_ONCE, QUEUE_EVENTS, EventHub, Line, Subscription
from parcela.services.events.visibility import View

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANA, EVA, PROJECT = 7, 8, 3


def event(number: int, type_: str = "vm.state", owner_id: int | None = ANA, **facts: Any) -> EventRecord:
    return EventRecord(type=type_, at=NOW, id=number, owner_id=owner_id, **facts)


def membership(number: int, change: str, user_id: int = ANA, role: str = "manager") -> EventRecord:
    data = {"user_id": user_id, "role": role}
    return event(number, f"project.member_{change}", user_id, project_id=PROJECT, data=data)


def view(user_id: int = ANA, types: frozenset[str] | None = None) -> View:
    return View(user_id, everything=False, managed=frozenset(), nouns=None, slice_id=None, types=types)


@dataclass
class Message:
    frame: bytes


@dataclass
class Forms:
    """Counts how often an event is put into its form."""

    made: list[int] = field(default_factory=list)

    def message(self, record: EventRecord) -> Message:
        self.made.append(record.id)
        return Message(b"%d." % record.id)


@dataclass
class Connection:
    """The other end of a line."""

    room: bool = True
    got: bytes = b""
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, frames: bytes) -> bool:
        if self.room:
            self.got += frames
            self.told.set()
        return self.room


async def publish(hub: EventHub, *records: EventRecord) -> None:
    hub.publish(records)
    assert hub._delivery is not None
    await hub._delivery


def client(hub: EventHub, forms: Forms, connection: Connection, sees: View) -> Subscription:
    subscription = hub.subscribe(line=Line(forms.message, connection.write))
    subscription.view = sees
    hub.follow(subscription)
    return subscription


def queued(subscription: Subscription) -> list[int]:
    return [subscription.queue.get_nowait().id for _ in range(subscription.queue.qsize())]


async def test_everybody_is_told_in_order_and_an_event_is_put_into_its_form_once() -> None:
    hub, forms, connections = EventHub(), Forms(), [Connection() for _ in range(AT_ONCE + 3)]
    clients = [client(hub, forms, connection, view()) for connection in connections]
    await publish(hub, event(1), event(2))
    await publish(hub, event(3))
    assert {connection.got for connection in connections} == {b"1.2.3."}
    assert {subscription.last for subscription in clients} == {3}
    assert forms.made == [1, 2, 3]
    assert hub.clients == len(clients)


async def test_several_commits_at_once_stay_in_order() -> None:
    hub, forms, connection = EventHub(), Forms(), Connection()
    client(hub, forms, connection, view())
    hub.publish([event(1)])
    hub.publish([event(2), event(3)])
    await publish(hub, event(4))
    assert connection.got == b"1.2.3.4."


async def test_what_there_is_no_room_for_waits_with_all_that_follows() -> None:
    hub, forms, connection = EventHub(), Forms(), Connection()
    subscription = client(hub, forms, connection, view())
    await publish(hub, event(1))
    connection.room = False
    await publish(hub, event(2), event(3))
    connection.room = True
    await publish(hub, event(4, owner_id=EVA), event(5))
    assert connection.got == b"1."  # nothing overtakes what waits
    assert queued(subscription) == [2, 3, 4, 5]  # its own task decides about those that came after
    subscription.last = 5
    hub.follow(subscription)
    await publish(hub, event(6))
    assert connection.got == b"1.6."


async def test_without_a_line_only_what_is_seen_wakes_a_client() -> None:
    hub = EventHub()
    subscription = hub.subscribe()
    subscription.view = view(types=frozenset({"vm.state"}))
    hub.follow(subscription)
    await publish(hub, event(1, owner_id=EVA), event(2, "vm.changed"))
    assert queued(subscription) == []
    await publish(hub, event(3))
    assert queued(subscription) == [3]


async def test_what_a_client_has_already_is_not_written_again() -> None:
    hub, forms, connection = EventHub(), Forms(), Connection()
    subscription = client(hub, forms, connection, view())
    subscription.last = 2  # read from the store, before the hub was told of it
    await publish(hub, event(2), event(3))
    assert connection.got == b""
    assert queued(subscription) == [2, 3]


async def test_a_new_role_counts_from_its_event_on() -> None:
    hub, forms, ana, eva = EventHub(), Forms(), Connection(), Connection()
    client(hub, forms, ana, view(ANA))
    client(hub, forms, eva, view(EVA))
    theirs: dict[str, Any] = {"owner_id": 99, "project_id": PROJECT}
    await publish(
        hub,
        event(1, **theirs),
        membership(2, "added"),
        event(3, **theirs),
        membership(4, "changed", role="member"),
        event(5, **theirs),
        membership(6, "changed"),
        event(7, **theirs),
        membership(8, "removed"),
        event(9, **theirs),
    )
    assert ana.got == b"2.3.4.6.7.8."
    assert eva.got == b""


async def test_a_broken_line_keeps_the_event_from_nobody() -> None:
    def broken(_frames: bytes) -> bool:
        raise OSError

    hub, forms, whole = EventHub(), Forms(), Connection()
    bad = hub.subscribe(line=Line(forms.message, broken))
    bad.view = view()
    hub.follow(bad)
    client(hub, forms, whole, view())
    await publish(hub, event(1))
    assert whole.got == b"1."
    assert queued(bad) == [1]


async def test_an_event_without_a_form_is_left_to_each_clients_own_task() -> None:
    def fails(_record: EventRecord) -> Message:
        raise ValueError

    hub, connection = EventHub(), Connection()
    subscription = hub.subscribe(line=Line(fails, connection.write))
    subscription.view = view()
    hub.follow(subscription)
    await publish(hub, event(1))
    assert (connection.got, queued(subscription)) == (b"", [1])


async def test_the_queue_ends_and_says_so_once() -> None:
    lagged = []
    hub = EventHub()
    subscription = hub.subscribe(lambda: lagged.append(1))
    await publish(hub, *(event(number) for number in range(1, QUEUE_EVENTS + 3)))
    await publish(hub, event(QUEUE_EVENTS + 3))
    assert (subscription.overflowed, lagged) == (True, [1])
    assert queued(subscription) == list(range(1, QUEUE_EVENTS + 1))


async def test_one_that_goes_while_the_others_are_told() -> None:
    hub, forms, connections = EventHub(), Forms(), [Connection() for _ in range(AT_ONCE + 1)]
    clients = [client(hub, forms, connection, view()) for connection in connections]
    hub.publish([event(1)])
    await connections[0].told.wait()
    for _ in range(2):  # saying it twice is harmless
        hub.unsubscribe(clients[-1])
    assert hub._delivery is not None
    await hub._delivery
    assert connections[-2].got == b"1."
    assert connections[-1].got == b""
    assert hub.clients == AT_ONCE
    assert queued(clients[-1]) == []


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (Caller(ANA, "ana", "client", frozenset()), [1, 3]),
        (Caller(EVA, "eva", "client", frozenset(), projects={PROJECT: ProjectRole.MANAGER}), [2, 4]),
        (Caller(EVA, "eva", "client", frozenset(), projects={PROJECT: ProjectRole.MEMBER}), [4]),
        (Caller(ANA, "ana", "client", frozenset(), scopes=frozenset({"vm:read"})), [1]),
        (Caller(ANA, "ana", "client", frozenset(), scopes=frozenset({"event:read"})), [1, 3]),
        (Caller(1, "root", "admin", frozenset({"*"})), [1, 2, 3, 4, 5]),
    ],
)
def test_who_sees_what(caller: Caller, seen: list[int]) -> None:
    records = [
        event(1),
        event(2, owner_id=99, project_id=PROJECT),
        event(3, "slice.state"),
        event(4, owner_id=EVA),
        event(5, owner_id=None),
    ]
    sees = View.of(caller, None, None)
    assert [record.id for record in records if sees.sees(record)] == seen


def test_all_who_see_everything_are_one_group() -> None:
    one, other = (Caller(number, f"a{number}", "admin", frozenset({"*"})) for number in (1, 2))
    assert View.of(one, None, None) == View.of(other, None, None)
    assert View.of(one, 5, None) != View.of(other, None, None)
