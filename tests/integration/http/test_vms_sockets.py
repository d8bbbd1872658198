"""The WebSockets of ``vms``: what is told to whom, and clients that do not read."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from parcela.api.websockets import auth
from parcela.repositories.events import EventRecord
from parcela.services.events.hub import QUEUE_EVENTS
from tests.integration.http.asgi import PATIENCE_S, open_socket
from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio
MORE = QUEUE_EVENTS + 50


def news(lab: Lab, vm_id: int, count: int, first: int, by: str = "owner") -> list[EventRecord]:
    """Events of a VM, as if they had just been committed."""
    facts: dict[str, Any] = {"type": "vm.changed", "at": lab.services.clock(), "owner_id": lab.people[by].id}
    return [EventRecord(**facts, id=first + number, vm_id=vm_id) for number in range(count)]


async def subscribed(lab: Lab, clients: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while lab.services.hub.clients < clients:  # noqa: ASYNC110 (the hub tells nobody of its clients)
            await asyncio.sleep(0)


async def test_the_vm_of_a_message_is_the_vm_of_the_api(lab: Lab) -> None:
    headers = lab.people["owner"].headers
    async with open_socket(lab.app, "/ws/vms", headers=headers) as socket:
        await subscribed(lab, 1)
        made = await lab.vm()
        told = await socket.json()
    assert told["event"] == "vm_created"
    assert told["vm"].keys() == (await lab.http.get(f"/vms/{made['id']}", headers=headers)).json().keys()
    assert told["vm"]["id"] == made["id"]


async def test_a_vm_that_was_removed_is_told_as_deleted_from_then_on(lab: Lab) -> None:
    """Lists leave it out at once; a page that heard of a change would put it back into its own."""
    made = await lab.vm("running", "admin")
    headers = lab.people["admin"].headers
    async with open_socket(lab.app, "/ws/vms", headers=headers) as socket:
        await subscribed(lab, 1)
        assert (await lab.http.delete(f"/vms/{made['id']}", headers=headers)).status_code == 204
        await lab.settle()
        told = [await socket.json() for _ in range(2)]
    assert {(one["event"], one["vm"]["id"]) for one in told} == {("vm_deleted", made["id"])}


async def test_nobody_hears_of_the_vms_of_others(lab: Lab) -> None:
    vm_id = (await lab.vm())["id"]
    async with open_socket(lab.app, "/ws/vms", headers=lab.people["stranger"].headers) as socket:
        await subscribed(lab, 1)
        first = 1_000_000
        lab.services.hub.publish([*news(lab, vm_id, 3, first), *news(lab, vm_id, 1, first + 3, "stranger")])
        assert (await socket.json())["seq"] == first + 3


async def test_no_part_of_a_vm_is_told(lab: Lab) -> None:
    """The pages put what comes into their list: of a VM whose row is gone there is nothing to put there."""
    vm_id = (await lab.vm())["id"]
    async with open_socket(lab.app, "/ws/vms", headers=lab.people["owner"].headers) as socket:
        await subscribed(lab, 1)
        first = 3_000_000
        lab.services.hub.publish([*news(lab, 987_654, 2, first), *news(lab, vm_id, 1, first + 2)])
        assert (await socket.json())["seq"] == first + 2


async def test_a_browser_gives_its_token_as_a_subprotocol(lab: Lab) -> None:
    protocols = ("parcela", f"bearer.{lab.people['admin'].token}")
    async with open_socket(lab.app, "/ws/users", subprotocols=protocols) as socket:
        assert socket.subprotocol == "parcela"
        await subscribed(lab, 1)
        made = await lab.user()
        told = await socket.json()
    assert (told["event"], told["user"]["id"], told["user"]["rol"]) == ("user_created", made["id"], "cliente")


async def test_a_token_in_the_address_is_none(lab: Lab) -> None:
    async with open_socket(lab.app, "/ws/vms", query=f"token={lab.people['admin'].token}") as socket:
        assert (await socket.closed())[0] == 4401


async def test_one_that_does_not_read_holds_up_nobody_and_may_resume(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "GRACE_S", PATIENCE_S)  # it reads on in time, also where the last events take long
    reading = asyncio.Event()
    slow: asyncio.Queue[Message] = asyncio.Queue()

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            await reading.wait()
        slow.put_nowait(message)

    to_app: asyncio.Queue[Message] = asyncio.Queue()
    to_app.put_nowait({"type": "websocket.connect"})
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws/vms",
        "raw_path": b"/ws/vms",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", lab.people["owner"].headers["Authorization"].encode())],
        "server": ("lab", 80),
        "client": ("192.0.2.7", 5000),
        "subprotocols": [],
    }
    vm_id = (await lab.vm())["id"]
    task = asyncio.create_task(lab.app(scope, to_app.get, send))
    async with open_socket(lab.app, "/ws/vms", headers=lab.people["owner"].headers) as quick:
        await subscribed(lab, 2)
        first = 2_000_000
        for record in news(lab, vm_id, MORE, first):
            lab.services.hub.publish([record])
            assert (await quick.json())["seq"] == record.id
    reading.set()
    async with asyncio.timeout(PATIENCE_S):
        await task
    messages = [slow.get_nowait() for _ in range(slow.qsize())]
    numbers = [json.loads(message["text"])["seq"] for message in messages if message["type"] == "websocket.send"]
    assert numbers == list(range(first, first + len(numbers)))
    assert len(numbers) < MORE
    closing = messages[-1]
    assert (closing["type"], closing["code"]) == ("websocket.close", 4408)
    assert closing["reason"] == f"too slow; resume with since={numbers[-1]}"
