"""Thousands of idle and slow connections at once: health and a signed-in person's page while they are there.

The load is a process of its own, so that it does not slow down the one that measures. ``--spread`` gives every
connection a source address of its own in 127.0.0.0/8: the ceiling per address never helps then, only the one in all,
the time limits and the ceiling of memory do. Everything ends by itself after ``--seconds``.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import cast

from benchmarks.report import Report, cpu_s
from benchmarks.servers import Server, parcela

HEALTH, PAGE = "/api/v1/system/health", "/"
COOKIE = "parcela_session"
PROBE_EVERY_S = 0.05
TRICKLE_EVERY_S = 1.0
PROMISED_MS = 200.0
AT_ONCE = 200
LENGTH = 4000
WAITING = "the strangers are there\n"


@dataclass
class Seen:
    """Milliseconds of answered requests, and how many failed."""

    health: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    failed: int = 0
    most_rss_mib: float = 0.0


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _ask(port: int, path: str, cookie: str) -> float:
    """Milliseconds of one request on a connection of its own."""
    began = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(answer.status)
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1000


def _probe(server: Server, cookie: str, seconds: float, seen: Seen) -> Seen:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path, took, cookies in ((HEALTH, seen.health, ""), (PAGE, seen.page, cookie)):
            try:
                took.append(_ask(server.port, path, cookies))
            except OSError:
                seen.failed += 1
        seen.most_rss_mib = max(seen.most_rss_mib, rss_mib(server.process.pid))
        time.sleep(PROBE_EVERY_S)
    return seen


class Stranger(asyncio.Protocol):
    """Says ``hello``, then one byte now and then, and answers pings; it never ends a request."""

    def __init__(self, hello: bytes, byte: bytes) -> None:
        self._hello, self._byte = hello, byte
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._hello:
            self.transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        if data[:1] == b"\x89" and self.transport is not None:  # a ping; the mask is four zeros
            size = data[1]
            self.transport.write(bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + data[2 : 2 + size])

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed = True

    def trickle(self) -> None:
        if self._byte and not self.closed and self.transport is not None:
            self.transport.write(self._byte)


def _crowd(options: argparse.Namespace) -> list[tuple[bytes, bytes]]:
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    body = head + b"Content-Length: %d\r\n\r\n{" % LENGTH
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = (
        "GET /api/v1/events/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {options.token}\r\n\r\n"
    ).encode()
    crowd = [(b"", b"")] * options.silent + [(body, b" ")] * options.bodies
    return crowd + [(upgrade, b"")] * options.sockets


async def _load(options: argparse.Namespace) -> None:
    """Open everything, tell it on stdout, and trickle until stdin ends or the time is over."""
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    strangers: list[Stranger] = []

    async def enter(number: int, hello: bytes, byte: bytes) -> None:
        source = (f"127.{1 + number // 60000}.{number // 240 % 250}.{1 + number % 240}", 0) if options.spread else None
        async with gate:
            with contextlib.suppress(OSError):
                _, stranger = await loop.create_connection(
                    lambda: Stranger(hello, byte), "127.0.0.1", options.port, local_addr=source
                )
                strangers.append(stranger)

    crowd, coming = _crowd(options), []
    for number, one in enumerate(crowd):
        coming.append(asyncio.create_task(enter(number, *one)))
        if number % 50 == 0:
            await asyncio.sleep(options.arrive_s * 50 / len(crowd))
    await asyncio.gather(*coming)
    sys.stdout.write(WAITING)
    sys.stdout.flush()
    end = loop.time() + options.seconds
    while loop.time() < end:
        for number, stranger in enumerate(strangers):
            stranger.trickle()
            if number % 100 == 0:
                await asyncio.sleep(TRICKLE_EVERY_S * 100 / max(1, len(strangers)))
    left = sum(not stranger.closed for stranger in strangers)
    sys.stdout.write(f"{left} of {len(strangers)}\n")
    for stranger in strangers:
        if stranger.transport is not None:
            stranger.transport.abort()
    await asyncio.sleep(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="strangers")
    parser.add_argument("--silent", type=int, default=1100, help="connections that send nothing")
    parser.add_argument("--bodies", type=int, default=3000, help="requests whose body comes a byte per second")
    parser.add_argument("--sockets", type=int, default=400, help="WebSockets of one user")
    parser.add_argument("--seconds", type=float, default=25, help="how long they stay once they are there")
    parser.add_argument("--arrive-s", type=float, default=2, help="seconds in which they come; 0: as fast as they can")
    parser.add_argument("--spread", action="store_true", help="a source address of its own for every connection")
    for hidden in ("--port", "--token"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    return parser


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "no answer"
    ordered = sorted(values)
    return (
        f"p50 {statistics.median(ordered):.1f}, p95 {ordered[int(len(ordered) * 0.95)]:.1f}, max {ordered[-1]:.1f} ms "
        f"(n={len(ordered)})"
    )


def _visited(report: Report, options: argparse.Namespace, server: Server) -> None:
    token = server.login()
    cookie = f"{COOKIE}={token}"
    _probe(server, cookie, 1.0, Seen())  # warms up
    before_mib = rss_mib(server.process.pid)
    quiet = _probe(server, cookie, 5.0, Seen())
    command = [sys.executable, "-m", "benchmarks.strangers", "--port", str(server.port), "--token", token]
    for name in ("silent", "bodies", "sockets", "seconds", "arrive-s"):
        command += [f"--{name}", str(getattr(options, name.replace("-", "_")))]
    command += ["--spread"] if options.spread else []
    crowd = Seen()
    used_s = cpu_s(server.process.pid)
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        _probe(server, cookie, options.seconds, crowd)  # while they come, too
        left = load.communicate(timeout=120)[0].removeprefix(WAITING).strip()
    finally:
        load.kill()
        load.wait()
    used_s = cpu_s(server.process.pid) - used_s
    after = _probe(server, cookie, 3.0, Seen())
    for what, seen in (("quiet", quiet), ("with the strangers", crowd), ("after them", after)):
        report.fact(f"health, {what}", _spread(seen.health))
        report.fact(f"page, {what}", _spread(seen.page))
    for what, one, other in (("health", crowd.health, quiet.health), ("page", crowd.page, quiet.page)):
        report.at_most(f"{what}: slowest answer with the strangers", PROMISED_MS, [max(one, default=1e9)], " ms")
        ratio = statistics.median(one) / statistics.median(other) if one else float("inf")
        report.fact(f"{what}: median with the strangers / quiet", f"{ratio:.2f}x")
    report.at_most("requests that failed meanwhile", 0, [crowd.failed], "")
    report.fact("processor time of the server meanwhile", f"{used_s:.1f} of {options.seconds:.0f} s")
    report.fact("connections still open at the end", left)
    report.fact(
        "resident memory before, most, after",
        " / ".join(f"{mib:.0f} MiB" for mib in (before_mib, crowd.most_rss_mib, rss_mib(server.process.pid))),
    )


def run(arguments: Sequence[str]) -> Report:
    options = _parser().parse_args(arguments)
    where = "from as many addresses" if options.spread else "from one address"
    report = Report(
        f"{options.silent} silent connections, {options.bodies} trickling bodies and {options.sockets} sockets of one "
        f"user, {where}"
    )
    with tempfile.TemporaryDirectory() as folder, parcela(Path(folder)) as server:
        _visited(report, options, server)
    return report


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_load(_parser().parse_args()))
