"""A console that several open: all see it, the newest types, the one before types again when they leave."""

import asyncio
import json
import struct
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.integration.http.asgi import Socket, open_socket
from tests.integration.http.lab import API, Lab

pytestmark = pytest.mark.anyio


async def _open(lab: Lab, vm: dict[str, Any], by: str, kind: str = "serial") -> AbstractAsyncContextManager[Socket]:
    made = await lab.make(f"/virtual-machines/{vm['id']}/console", by, json={"kind": kind})
    path = f"{API}/virtual-machines/{vm['id']}/console/{kind}"
    return open_socket(lab.app, path, query=f"ticket={made['ticket']}")


async def _seen(socket: Socket, wanted: bytes) -> list[dict[str, Any]]:
    """Read until the guest has written something; what was told meanwhile of the keyboard."""
    told, text = [], b""
    while wanted not in text:
        message = await socket.message()
        assert message["type"] == "websocket.send", message
        if message.get("text"):
            told.append(json.loads(message["text"]))
        text += message.get("bytes") or b""
    return told


async def _told(socket: Socket) -> dict[str, Any]:
    """The next word about the keyboard."""
    while True:
        message = await socket.message()
        assert message["type"] == "websocket.send", message
        if message.get("text"):
            said: dict[str, Any] = json.loads(message["text"])
            return said


async def test_all_see_and_the_newest_types(lab: Lab) -> None:
    vm = await lab.vm()
    async with await _open(lab, vm, "owner") as first:
        assert await _seen(first, b":~# ") == []
        first.send(b"echo one-2\n")
        assert await _seen(first, b"\none-2") == []
        async with await _open(lab, vm, "admin") as second:
            assert await _seen(second, b"\none-2") == [], "what was printed before, and the keyboard is theirs"
            assert await _told(first) == {"keyboard": False, "by": lab.people["admin"].name}
            first.send(b"echo lost-2\n")
            second.send(b"echo two-3\n")
            for socket in (first, second):
                assert await _seen(socket, b"\ntwo-3") == []
        assert await _told(first) == {"keyboard": True, "by": ""}
        first.send(b"echo three-4\n")
        await _seen(first, b"\nthree-4")
    async with await _open(lab, vm, "owner") as later:
        text = b""
        while b"\nthree-4" not in text:
            text += (await later.message()).get("bytes") or b""
        assert b"lost" not in text, "what somebody typed who looked on"


async def test_the_end_of_the_machine_ends_all(lab: Lab) -> None:
    vm = await lab.vm()
    async with await _open(lab, vm, "owner") as first, await _open(lab, vm, "admin") as second:
        assert await _told(first) == {"keyboard": False, "by": lab.people["admin"].name}
        await lab.make(f"/virtual-machines/{vm['id']}/stop?force=true", "owner", 202)
        for socket in (first, second):
            while (message := await socket.message())["type"] != "websocket.close":
                assert not message.get("text")
            assert message["code"] == 4410


async def test_a_session_that_ends_takes_only_its_own_console(lab: Lab) -> None:
    vm = await lab.vm()
    await lab.enter("owner again", lab.people["owner"].name, lab.people["owner"].id)
    async with await _open(lab, vm, "owner") as first, await _open(lab, vm, "owner again") as second:
        assert (await _told(first))["keyboard"] is False
        assert (await lab.call("POST", "/logout", "owner again")).status_code in {200, 204}
        while (message := await second.message())["type"] != "websocket.close":
            pass
        assert message["code"] == 4401
        assert await _told(first) == {"keyboard": True, "by": ""}
        first.send(b"echo still-8\n")
        await _seen(first, b"\nstill-8")


HELLO = b"RFB 003.008\n" + b"\x01" + b"\x00"
KEY = b"\x04\x01" + bytes(2) + struct.pack(">I", 97)
PICTURE = b"\x03\x00" + struct.pack(">HHHH", 0, 0, 4, 4)


async def _pictures(socket: Socket, least_bytes: int) -> None:
    seen = 0
    while seen < least_bytes:
        seen += len((await socket.message()).get("bytes") or b"")


async def test_a_screen_is_shared_and_the_newest_has_its_keys(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[tuple[int, bytes]] = []
    vm = await lab.vm()
    from_module = "parcela.hypervisors.simulated.streams.VncStream.write"
    written = asyncio.Event()
    original = __import__("parcela.hypervisors.simulated.streams", fromlist=["VncStream"]).VncStream.write

    async def write(stream: object, data: bytes) -> None:
        fed.append((id(stream), data))
        written.set()
        await original(stream, data)

    monkeypatch.setattr(from_module, write)
    async with await _open(lab, vm, "owner", "vnc") as first:
        first.send(HELLO)
        await _pictures(first, 30)
        async with await _open(lab, vm, "admin", "vnc") as second:
            assert await _told(first) == {"keyboard": False, "by": lab.people["admin"].name}
            second.send(HELLO)
            await _pictures(second, 30)
            fed.clear()
            first.send(KEY + PICTURE)
            await _pictures(first, 64)
            assert [data for _, data in fed] == [PICTURE]
            second.send(KEY + PICTURE)
            await _pictures(second, 64)
            assert [data for _, data in fed][1:] == [KEY + PICTURE]
        assert await _told(first) == {"keyboard": True, "by": ""}
        fed.clear()
        first.send(KEY + PICTURE)
        await _pictures(first, 64)
        assert [data for _, data in fed] == [KEY + PICTURE]
