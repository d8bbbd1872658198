"""A small HTTP load generator: keep-alive connections that each wait for one answer before the next request."""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import cast

import uvloop

FIRST_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it."""

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    body_bytes: int

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self._request = request
        self._latencies = latencies
        self._transport: asyncio.Transport | None = None
        self._missing = -1
        self._head = b""
        self._sent_at = 0.0
        self.body_bytes = 0
        self.problem = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by type
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = b""
            if not head.startswith(b"HTTP/1.1 200"):
                self.problem = (head + rest)[:300].decode(errors="replace")
            self.body_bytes = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self._missing = self.body_bytes - len(rest)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._missing = -1
            self._latencies.append((time.perf_counter() - self._sent_at) * 1000)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _load(port: int, request: bytes, connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    pairs = [
        await loop.create_connection(lambda: _Connection(request, latencies), "127.0.0.1", port)
        for _ in range(connections)
    ]
    async with asyncio.timeout(FIRST_ANSWER_S):
        while len(latencies) < connections:  # noqa: ASYNC110 (an event per answer would be measured too)
            await asyncio.sleep(0.01)
    latencies.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    while not latencies:  # noqa: ASYNC110 (as above)
        await asyncio.sleep(0.01)
    took = time.perf_counter() - started
    for _, connection in pairs:
        connection.close()
    if problem := next((connection.problem for _, connection in pairs if connection.problem), ""):
        raise RuntimeError(problem)
    latencies.sort()
    p95 = latencies[int(len(latencies) * 0.95)]
    return Load(len(latencies), took, statistics.median(latencies), p95, pairs[0][1].body_bytes)


def get(path: str, **headers: str) -> bytes:
    """The bytes of a GET; an underscore in a header's name is a hyphen."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def load(port: int, request: bytes, *, connections: int = 16, seconds: float = 2.0) -> Load:
    """Send a request over and over; fails on the first answer that is not 200."""
    return uvloop.run(_load(port, request, connections, seconds))


if __name__ == "__main__":
    # One load in a process of its own: PORT CONNECTIONS SECONDS, the request on stdin.
    found = load(int(sys.argv[1]), sys.stdin.buffer.read(), connections=int(sys.argv[2]), seconds=float(sys.argv[3]))
    print(json.dumps([found.requests, found.seconds, found.p50_ms, found.p95_ms, found.body_bytes]))
