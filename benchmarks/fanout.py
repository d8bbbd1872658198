"""One event to N WebSocket clients, against a bare server that writes the same bytes to N sockets."""

import argparse
import asyncio
import base64
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx2
import uvloop

from benchmarks.report import Report, cpu_s
from benchmarks.servers import Server, free_port, parcela

AT_ONCE = 100
PATIENCE_S = 120.0
NO_CEILINGS = {
    f"PARCELA_MAX_{what}": "0" for what in ("CONNECTIONS_PER_ADDRESS", "STREAMS_PER_USER", "STREAMS_PER_ADDRESS")
}
"""All clients here are one user at one address."""


@dataclass
class Crowd:
    """Clients that only count the frames they got."""

    expected: int = 0
    frames: int = 0
    frame: bytes = b""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def one_more(self, frame: bytes) -> None:
        self.frame = frame
        self.frames += 1
        if self.frames == self.expected:
            self.done.set()


class Client(asyncio.Protocol):
    """One socket; ``hello`` is sent first, and its answer (up to an empty line) is no frame."""

    def __init__(self, crowd: Crowd, hello: bytes) -> None:
        self._crowd = crowd
        self._hello = hello
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self.ready = asyncio.get_running_loop().create_future()
        if not hello:
            self.ready.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._hello:
            self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.ready.done():
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                self.ready.set_exception(RuntimeError(head.decode()))
                return
            self._data = rest
            self.ready.set_result(None)
        while len(self._data) >= 4:
            size = self._data[1] & 0x7F
            start = 2
            if size == 126:
                size, start = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < start + size:
                return
            frame, self._data = self._data[: start + size], self._data[start + size :]
            if frame[0] == 0x81:  # a whole text frame
                self._crowd.one_more(frame)
            elif frame[0] == 0x89 and self._transport is not None:
                # A ping: who does not answer is cut off. The mask is four zeros.
                self._transport.write(bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + frame[start:])


async def _connect(port: int, crowd: Crowd, hello: bytes, count: int) -> list[asyncio.BaseTransport]:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def enter() -> asyncio.BaseTransport:
        async with gate:
            transport, client = await loop.create_connection(lambda: Client(crowd, hello), "127.0.0.1", port)
            await asyncio.wait_for(client.ready, PATIENCE_S)
            return transport

    return list(await asyncio.gather(*(enter() for _ in range(count))))


async def _rounds(crowd: Crowd, clients: int, rounds: int, trigger: Callable[[int], Awaitable[None]]) -> list[float]:
    """Seconds from the trigger to the last client, each round."""
    took = []
    for number in range(rounds):
        crowd.frames, crowd.expected = 0, clients
        crowd.done.clear()
        began = time.perf_counter()
        await trigger(number)
        await asyncio.wait_for(crowd.done.wait(), PATIENCE_S)
        took.append(time.perf_counter() - began)
    return took


def last_event(server: Server) -> int:
    """Number of the newest event of a server with few of them."""
    return int(server.api.get("/events", params={"limit": 1000}).raise_for_status().json()["last_id"])


async def _ours(server: Server, token: str, clients: int, rounds: int) -> tuple[list[float], float, float, bytes]:
    """Seconds of each round, processor seconds of all, those of as many requests without listeners, and a frame."""
    crowd = Crowd()
    key = base64.b64encode(os.urandom(16)).decode()
    # With a number, or an event that is committed while a socket still looks for "now" would never come to it.
    since = last_event(server)
    hello = (
        f"GET /api/v1/events/ws?since={since} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    transports = await _connect(server.port, crowd, hello, clients)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}/api/v1", headers=headers) as api:

        async def trigger(number: int) -> None:
            body = {"name": f"fanout-{clients}-{number:04}", "vcpus": 1, "memory_mib": 64, "disk_gib": 1}
            (await api.post("/flavours/", json=body, timeout=PATIENCE_S)).raise_for_status()

        await _rounds(crowd, clients, 1, lambda _number: trigger(9999))  # warms up
        before = cpu_s(server.process.pid)
        took = await _rounds(crowd, clients, rounds, trigger)
        used = cpu_s(server.process.pid) - before
        for transport in transports:
            cast("asyncio.Transport", transport).abort()
        while await _streams(api, server):  # noqa: ASYNC110 (another process, which tells nobody)
            await asyncio.sleep(0.2)
        before = cpu_s(server.process.pid)
        for number in range(rounds):
            await trigger(number + rounds)
        alone = cpu_s(server.process.pid) - before
    return took, used, alone, crowd.frame


async def _streams(api: httpx2.AsyncClient, server: Server) -> int:
    """How many streams the server has."""
    text = (await api.get(f"http://127.0.0.1:{server.port}/metrics")).text
    line = next(line for line in text.splitlines() if line.startswith("parcela_event_stream_clients{"))
    return int(float(line.split()[-1]))


async def _raw(pid: int, port: int, frame: bytes, clients: int, rounds: int) -> tuple[list[float], float]:
    crowd = Crowd()
    transports = await _connect(port, crowd, b"", clients)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"write %d\n" % len(frame) + frame)

    async def trigger(_number: int) -> None:
        writer.write(b"again\n")
        await writer.drain()

    await _rounds(crowd, clients, 1, trigger)
    before = cpu_s(pid)
    took = await _rounds(crowd, clients, rounds, trigger)
    used = cpu_s(pid) - before
    for transport in transports:
        cast("asyncio.Transport", transport).abort()
    writer.close()
    return took, used


def _wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            time.sleep(0.01)
        else:
            return


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="fanout")
    parser.add_argument("--clients", type=int, default=3000)
    parser.add_argument("--events", type=int, default=10, help="per turn")
    parser.add_argument("--turns", type=int, default=3, help="of each side, one after the other")
    options = parser.parse_args(arguments)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, options.clients * 2 + 500)), hard))
    report = Report(f"Fan-out of one event to {options.clients} WebSocket clients")
    times, cpu, ours_ms, raw_ms, port = [], [], [], [], free_port()
    ours_cpu_ms, alone_cpu_ms, raw_cpu_ms, fanned = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bare = subprocess.Popen([sys.executable, "-m", "benchmarks.raw_fanout", str(port)])
        try:
            _wait_for(port)
            for turn in range(options.turns):
                # A server of its own for every turn: names of flavours are used once, and nothing is left of the last.
                with parcela(Path(folder, str(turn)), **NO_CEILINGS) as server:
                    token = server.login()
                    took, used, alone, frame = uvloop.run(_ours(server, token, options.clients, options.events))
                bare_took, bare_used = uvloop.run(_raw(bare.pid, port, frame, options.clients, options.events))
                times.append(statistics.median(took) / statistics.median(bare_took))
                cpu.append(used / max(bare_used, 0.01))
                fanned.append((used - alone) / max(bare_used, 0.01))
                ours_ms += took
                raw_ms += bare_took
                ours_cpu_ms.append(used / options.events * 1000)
                alone_cpu_ms.append(alone / options.events * 1000)
                raw_cpu_ms.append(bare_used / options.events * 1000)
        finally:
            bare.terminate()
            bare.wait(30)
    report.at_most("from the request to the last client / raw writes, time", 1.5, times)
    report.at_most("the same, processor time of the server", 1.5, cpu)
    spread = f"({min(fanned):.2f} to {max(fanned):.2f}, n={len(fanned)})"
    report.fact("processor time without that of the request", f"{statistics.median(fanned):.2f}x {spread}")
    report.fact("Parcela, median per event", f"{statistics.median(ours_ms) * 1000:.0f} ms")
    report.fact("raw, median per event", f"{statistics.median(raw_ms) * 1000:.0f} ms")
    report.fact("Parcela, processor time per event", f"{statistics.median(ours_cpu_ms):.1f} ms")
    report.fact("the request with nobody listening", f"{statistics.median(alone_cpu_ms):.1f} ms")
    report.fact("raw, processor time per event", f"{statistics.median(raw_cpu_ms):.1f} ms")
    report.note(f"{len(frame)} bytes per frame; Parcela's time includes the request, its transaction and its answer.")
    return report
