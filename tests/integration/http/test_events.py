"""The list, the stream and the socket of events show the same sequence; consoles open once per ticket."""

import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from parcela.core.cookies import SESSION_COOKIE
from tests.integration.http.asgi import open_socket, open_stream
from tests.integration.http.lab import API, Lab, problem

pytestmark = pytest.mark.anyio


async def _listed(lab: Lab, by: str, since: int) -> list[dict[str, Any]]:
    answer = await lab.call("GET", f"/events?since={since}&limit=1000", by)
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["items"]
    return events


async def _now(lab: Lab, by: str) -> int:
    """Number of the last event somebody sees."""
    return max((event["id"] for event in await _listed(lab, by, 0)), default=0)


@pytest.mark.parametrize("by", ["owner", "admin"])
async def test_the_same_sequence_everywhere(lab: Lab, by: str) -> None:
    start = await _now(lab, by)
    headers = lab.people[by].headers
    async with (
        open_stream(lab.app, f"{API}/events/stream", query=f"since={start}", headers=headers) as stream,
        open_socket(lab.app, f"{API}/events/ws", query=f"since={start}", headers=headers) as socket,
    ):
        await lab.template("stranger")
        await lab.vm()
        listed = await _listed(lab, by, start)
        assert {event["type"] for event in listed} >= {"vm.created", "operation.created"}
        assert [event["id"] for event in listed] == sorted({event["id"] for event in listed})
        streamed = [await stream.event() for _ in listed]
        received = [await socket.json() for _ in listed]
    assert received == listed
    assert [json.loads(event["data"]) for event in streamed] == listed
    assert [(int(event["id"]), event["event"]) for event in streamed] == [(e["id"], e["type"]) for e in listed]
    assert stream.headers["content-type"].startswith("text/event-stream")
    owners = {event["actor_id"] for event in listed}
    assert (lab.people["stranger"].id in owners) == (by == "admin")


@pytest.mark.parametrize("by", ["owner", "admin"])
async def test_frames_for_many_and_messages_for_one_are_the_same_sequence(lab: Lab, by: str) -> None:
    start = await _now(lab, by)
    turns = [True, False, False, True, True, False, True]
    room = True
    query, headers = f"since={start}", lab.people[by].headers
    async with open_socket(lab.app, f"{API}/events/ws", query=query, headers=headers, has_room=lambda: room) as socket:
        got: list[Message] = []
        for room in turns:  # noqa: B007 (the socket looks at it)
            await lab.template("stranger")
            await lab.template("owner")
            newest = await _now(lab, by)
            while not got or json.loads(got[-1]["text"])["id"] < newest:
                got.append(await socket.message())
    assert [json.loads(message["text"]) for message in got] == await _listed(lab, by, start)
    assert [message.get("framed", False) for message in got[:: len(got) // len(turns)]] == turns


async def test_resuming_loses_and_repeats_nothing(lab: Lab) -> None:
    start = await _now(lab, "owner")
    headers = lab.people["owner"].headers
    await lab.template()
    await lab.template()
    async with open_stream(lab.app, f"{API}/events/stream", query=f"since={start}", headers=headers) as stream:
        first = int((await stream.event())["id"])
    await lab.template()
    resumed = headers | {"Last-Event-ID": str(first)}
    # The browser's header wins over the address, which is that of the first connection.
    async with open_stream(lab.app, f"{API}/events/stream", query=f"since={start}", headers=resumed) as stream:
        rest = [int((await stream.event())["id"]) for _ in range(2)]
        await lab.template()
        rest.append(int((await stream.event())["id"]))
    assert [first, *rest] == [event["id"] for event in await _listed(lab, "owner", start)]


async def test_without_a_number_a_stream_begins_now(lab: Lab) -> None:
    await lab.template()
    headers = lab.people["owner"].headers
    start = await _now(lab, "owner")
    async with open_stream(lab.app, f"{API}/events/stream", headers=headers) as stream:
        # The stream is there once it looked where "now" is; the first event after that is the next one (see below).
        made = await _until_seen(lab, stream)
    assert made > start


async def _until_seen(lab: Lab, stream: Any) -> int:
    await lab.template()
    return int((await stream.event())["id"])


@pytest.mark.parametrize("path", [f"{API}/events/stream", "/events/stream", f"{API}/events/ws", "/ws/vms", "/ws/users"])
async def test_a_stream_looks_where_it_begins_before_its_client_is_connected(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """What a client did as soon as it was connected was lost when its write was faster than that look."""
    order: list[str] = []
    last_id = lab.services.events._last_id

    async def look() -> int:
        order.append("looked")
        return await last_id()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            order.append(message["type"])
            await send(message)

        await lab.app(scope, receive, tell)

    monkeypatch.setattr(lab.services.events, "_last_id", look)
    person = lab.people["admin"]
    headers = {"Cookie": f"{SESSION_COOKIE}={person.token}"} if path == "/events/stream" else person.headers
    if path.endswith("/stream"):
        async with open_stream(app, path, headers=headers) as stream:
            assert stream.status == 200
        assert order[:2] == ["looked", "http.response.start"]
    else:
        async with open_socket(app, path, headers=headers):
            pass
        assert order[:2] == ["looked", "websocket.accept"]


async def test_a_silent_stream_says_that_it_is_there(lab: Lab) -> None:
    start = await _now(lab, "owner")
    usual = lab.services.events.keep_alive_s
    lab.services.events.keep_alive_s = 0.01
    try:
        query, headers = f"since={start}", lab.people["owner"].headers
        async with open_stream(lab.app, f"{API}/events/stream", query=query, headers=headers) as stream:
            assert await stream.comment() == ": hello"
            assert [await stream.comment() for _ in range(2)] == [": still here"] * 2
            await lab.template()
            assert (await stream.event())["event"] == "template.created"
            assert await stream.comment() == ": still here"
    finally:
        lab.services.events.keep_alive_s = usual


async def test_one_slice_only(lab: Lab) -> None:
    start = await _now(lab, "owner")
    wanted = await lab.slice_("draft")
    await lab.slice_("draft")
    query = f"since={start}&slice_id={wanted['id']}"
    async with open_socket(lab.app, f"{API}/events/ws", query=query, headers=lab.people["owner"].headers) as socket:
        await lab.make(f"/slices/{wanted['id']}/extend", status=200, json={"expires_in_s": 600})
        seen = [await socket.json() for _ in range(2)]
    assert [event["type"] for event in seen] == ["slice.created", "slice.extended"]
    assert {event["slice_id"] for event in seen} == {wanted["id"]}


async def test_a_client_that_hangs_up_is_forgotten(lab: Lab) -> None:
    before = lab.services.hub.clients
    headers = lab.people["owner"].headers
    async with (
        open_stream(lab.app, f"{API}/events/stream", headers=headers),
        open_socket(lab.app, f"{API}/events/ws", headers=headers),
    ):
        pass
    assert lab.services.hub.clients == before


async def test_browsers_name_their_token_in_a_subprotocol(lab: Lab) -> None:
    offered = ("parcela", f"bearer.{lab.people['owner'].token}")
    start = await _now(lab, "owner")
    async with open_socket(lab.app, f"{API}/events/ws", query=f"since={start}", subprotocols=offered) as socket:
        assert socket.subprotocol == "parcela"
        await lab.template()
        assert (await socket.json())["type"] == "template.created"
    async with open_socket(lab.app, f"{API}/events/ws", subprotocols=("parcela", "bearer.forged")) as socket:
        assert await socket.closed() == (4401, "token_invalid: The token is not one of ours.")


# ---- consoles


async def _ticket(lab: Lab, vm_id: int, kind: str = "serial") -> str:
    made = await lab.make(f"/virtual-machines/{vm_id}/console", json={"kind": kind})
    return str(made["ticket"])


def _console(vm_id: int, kind: str = "serial") -> str:
    return f"{API}/virtual-machines/{vm_id}/console/{kind}"


async def test_a_ticket_opens_one_console_once(lab: Lab) -> None:
    vm = await lab.vm()
    query = f"ticket={await _ticket(lab, vm['id'])}"
    async with open_socket(lab.app, _console(vm["id"]), query=query) as socket:
        socket.send(b"\n")
        assert (await socket.message())["bytes"]
    async with open_socket(lab.app, _console(vm["id"]), query=query) as socket:
        assert (await socket.closed())[0] == 4401


async def test_a_ticket_is_for_one_vm_and_one_kind(lab: Lab) -> None:
    vm, other = await lab.vm(), await lab.vm()
    for path in (_console(other["id"]), _console(vm["id"], "vnc")):
        ticket = await _ticket(lab, vm["id"])
        async with open_socket(lab.app, path, query=f"ticket={ticket}") as socket:
            assert (await socket.closed())[0] == 4403
        # Tried at the wrong door, it is spent.
        async with open_socket(lab.app, _console(vm["id"]), query=f"ticket={ticket}") as socket:
            assert (await socket.closed())[0] == 4401


async def test_no_ticket_for_a_vm_that_is_off(lab: Lab) -> None:
    vm = await lab.vm("stopped")
    answer = await lab.call("POST", f"/virtual-machines/{vm['id']}/console", json={"kind": "serial"})
    problem(answer, 409, "vm_is_off")
