"""Events to very many clients of a real server process, and to one that stops reading."""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parcela.db.database import Database
from parcela.repositories.uow import UnitOfWorkFactory
from tests.compat.support import Server, serving
from tests.support.servers import empty_database, why_missing

pytestmark = pytest.mark.anyio
CLIENTS = 1000
EVENTS = 20
OPENING = 50
"""Handshakes at a time."""
PATIENCE_S = 240.0
NO_CEILINGS = {
    f"PARCELA_MAX_{what}": "0" for what in ("CONNECTIONS_PER_ADDRESS", "STREAMS_PER_USER", "STREAMS_PER_ADDRESS")
}
"""All clients here are one user at one address."""
FAT = {"text": "x" * 4000}


@pytest.fixture
def many_files() -> Iterator[None]:
    """A thousand sockets need as many files, here and in the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * CLIENTS:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * CLIENTS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stream_url(server: Server, since: int) -> str:
    return f"ws://{urlsplit(server.url).netloc}/api/v1/events/ws?since={since}"


def last_id(server: Server, headers: dict[str, str]) -> int:
    """Number of the newest event."""
    since, newest = 0, -1
    while newest != since:
        since = max(since, newest)
        url = f"{server.url}/api/v1/events?since={since}&limit=1000"
        newest = httpx2.get(url, headers=headers, timeout=PATIENCE_S).json()["last_id"]
    return since


async def reader(server: Server, headers: dict[str, str], since: int, **options: Any) -> ClientConnection:
    """A client that is as patient as the test."""
    url = stream_url(server, since)
    return await connect(
        url, additional_headers=headers, compression=None, open_timeout=PATIENCE_S, ping_interval=None, **options
    )


async def numbers(client: ClientConnection, count: int) -> list[int]:
    return [int(json.loads(await client.recv())["id"]) for _ in range(count)]


async def test_a_thousand_clients_get_every_event_once_and_in_order(many_files: None, tmp_path: Path) -> None:
    with serving(tmp_path, "sqlite", f"sqlite:///{tmp_path / 'parcela.db'}", **NO_CEILINGS) as server:
        headers = server.admin_headers()
        start = last_id(server, headers)
        gate = asyncio.Semaphore(OPENING)
        clients: list[ClientConnection] = []

        async def enter() -> None:
            async with gate:
                clients.append(await reader(server, headers, start))

        async with asyncio.timeout(PATIENCE_S):
            try:
                await asyncio.gather(*(enter() for _ in range(CLIENTS)))
                async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE_S) as http:
                    for number in range(EVENTS):
                        body = {"name": f"f{number}", "vcpus": 1, "memory_mib": 128, "disk_gib": 1}
                        assert (await http.post("/api/v1/flavours/", json=body)).status_code == 201
                got = await asyncio.gather(*(numbers(client, EVENTS) for client in clients))
            finally:
                await asyncio.gather(*(client.close() for client in clients))
        assert len(got) == CLIENTS
        assert {tuple(ids) for ids in got} == {tuple(range(start + 1, start + EVENTS + 1))}


async def until_closed(client: ClientConnection) -> tuple[list[int], tuple[int, str]]:
    """What a client still reads, and how the server closed."""
    heard: list[int] = []
    while True:
        try:
            heard += await numbers(client, 1)
        except ConnectionClosed as closed:
            return heard, (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (0, "cut off")


@asynccontextmanager
async def deaf_client(server: Server, headers: dict[str, str], since: int) -> AsyncIterator[ClientConnection]:
    """A client whose buffers are small, so that the server soon has to wait for it."""
    address = urlsplit(server.url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((address.hostname, address.port))
    raw.setblocking(False)
    client = await connect(
        stream_url(server, since),
        sock=raw,
        additional_headers=headers,
        compression=None,
        max_queue=1,
        open_timeout=PATIENCE_S,
        ping_interval=None,
        close_timeout=1,
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.database
async def test_a_client_that_stops_reading_delays_nobody_and_can_resume(tmp_path: Path) -> None:
    """Events are written by another process (this one), so they come by the database."""
    if reason := why_missing("postgres"):
        pytest.skip(reason)
    with empty_database("postgres", tmp_path) as url, serving(tmp_path, "postgres", url) as server:
        headers = server.admin_headers()
        start = last_id(server, headers)
        database = Database(url)
        uows = UnitOfWorkFactory(database)
        try:
            async with asyncio.timeout(PATIENCE_S), deaf_client(server, headers, start) as deaf:
                readers = [await reader(server, headers, start) for _ in range(5)]
                while await streams(server, headers) <= len(readers):  # noqa: ASYNC110 (it is another process)
                    await asyncio.sleep(0.01)
                sent = 0
                while await streams(server, headers) > len(readers):
                    async with uows.write() as uow:
                        for _ in range(200):
                            uow.add_event("host.updated", data=FAT)
                        await uow.commit()
                    wanted = list(range(start + sent + 1, start + sent + 201))
                    for got in await asyncio.gather(*(numbers(reader, 200) for reader in readers)):
                        assert got == wanted
                    sent += 200
                heard, received = await until_closed(deaf)
                assert heard == list(range(start + 1, start + len(heard) + 1))
                assert len(heard) < sent
                assert received == (4408, f"too slow; resume with since={heard[-1]}")
                again = await reader(server, headers, heard[-1], max_queue=None)
                missed = await numbers(again, sent - len(heard))
                assert missed == list(range(heard[-1] + 1, start + sent + 1))
                for client in (*readers, again):
                    await client.close()
        finally:
            await database.aclose()


async def streams(server: Server, headers: dict[str, str]) -> int:
    """How many streams the server serves."""
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE_S) as http:
        text = (await http.get("/metrics")).text
    line = next(line for line in text.splitlines() if line.startswith("parcela_event_stream_clients{"))
    return int(float(line.rpartition(" ")[2]))
