"""WebSocket clients of a real server, many of them in one event loop."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from websockets.asyncio.client import ClientConnection, connect

API = "/api/v1"
PATIENCE_S = 240.0
AT_ONCE = 50
SMALL_BUFFER_BYTES = 4096


def address(url: str, since: int) -> str:
    """Where the events of a server are, from a number on."""
    return f"{url}{API}/events/ws?since={since}".replace("http://", "ws://")


@asynccontextmanager
async def listening(url: str, headers: dict[str, str], since: int, count: int) -> AsyncIterator[list[ClientConnection]]:
    """So many clients; each sees every event after ``since``, whenever it was connected."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def enter() -> ClientConnection:
            client = connect(
                address(url, since),
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                open_timeout=PATIENCE_S,
                close_timeout=PATIENCE_S,
            )
            async with gate:
                return await stack.enter_async_context(client)

        yield await asyncio.gather(*(enter() for _ in range(count)))


@asynccontextmanager
async def reluctant(url: str, headers: dict[str, str], since: int) -> AsyncIterator[ClientConnection]:
    """A client that takes nothing off the wire unless it is asked for a message, with as little room as possible."""
    parts = urlsplit(url)
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, (parts.hostname, parts.port))
    async with connect(
        address(url, since),
        sock=own,
        additional_headers=headers,
        compression=None,
        ping_interval=None,
        max_queue=1,
        open_timeout=PATIENCE_S,
        close_timeout=PATIENCE_S,
    ) as client:
        yield client


async def take(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next so many events of a client."""
    return [json.loads(await client.recv()) for _ in range(count)]


async def take_all(clients: Sequence[ClientConnection], count: int) -> list[list[dict[str, Any]]]:
    """The next so many events of each."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*(take(client, count) for client in clients))


async def last_id(url: str, headers: dict[str, str]) -> int:
    """Number of the newest event."""
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as client:
        found: dict[str, Any] = (await client.get(f"{url}{API}/events", params={"limit": 1000})).json()
        return int(found["last_id"])
