"""The other side of ``fanout``: writes the bytes it is given to every connected socket, and nothing else.

``python -m benchmarks.raw_fanout PORT``; a connection whose first line is ``write N`` sends N bytes that go to all the
others, again each time it sends ``again``.
"""

import asyncio
import sys
from typing import cast

import uvloop

LISTENERS: set[asyncio.Transport] = set()


class Peer(asyncio.Protocol):
    """A listener, until it says that it is the writer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._payload = b""
        self._missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        LISTENERS.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._missing < 0 and b"\n" in self._data:
            line, self._data = self._data.split(b"\n", 1)
            self._missing = int(line.split()[1])
            if self._transport is not None:
                LISTENERS.discard(self._transport)
        if not self._payload and 0 <= self._missing <= len(self._data):
            self._payload, self._data = self._data[: self._missing], self._data[self._missing :]
        while self._payload and self._data.startswith(b"again\n"):
            self._data = self._data.removeprefix(b"again\n")
            for listener in LISTENERS:
                listener.write(self._payload)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            LISTENERS.discard(self._transport)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
