"""Logins: how much of the processors' bcrypt power they reach, and what they do to everybody else."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from benchmarks.report import Report
from benchmarks.servers import PASSWORD, Server, parcela
from parcela.core.passwords import PasswordHasher

LOGIN = {"email": "admin@parcela.local", "password": PASSWORD}


async def _bcrypt_per_s(seconds: float) -> float:
    """Checks per second with as many threads as processors, and nothing else."""
    hasher = PasswordHasher()
    stored = await hasher.hash(PASSWORD)
    width = os.cpu_count() or 1
    done = 0
    end = time.perf_counter() + seconds
    started = time.perf_counter()

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert await hasher.verify(PASSWORD, stored)
            done += 1

    await asyncio.gather(*(one() for _ in range(width)))
    took_s = time.perf_counter() - started
    hasher.close()
    return done / took_s


def _logins_per_s(server: Server, seconds: float) -> float:
    end = time.perf_counter() + seconds
    started = time.perf_counter()

    def one(_number: int) -> int:
        done = 0
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
            while time.perf_counter() < end:
                client.post("/api/v1/login", json=LOGIN).raise_for_status()
                done += 1
        return done

    width = 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(width) as threads:
        done = sum(threads.map(one, range(width)))
    return done / (time.perf_counter() - started)


def _p95_ms(server: Server, seconds: float) -> float:
    """95th percentile of a small authenticated request every 20 ms."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 2:
        began = time.perf_counter()
        server.api.get("/users/me").raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)
    return statistics.quantiles(times, n=20)[-1]


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="logins")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args(arguments)
    report = Report("Logins")
    throughput, patience = [], []
    with tempfile.TemporaryDirectory() as folder, parcela(Path(folder)) as server:
        server.login()
        # The flood of logins ends the oldest sessions of its person; a personal token stays.
        body = {"name": "bench", "scopes": ["*"]}
        server.api.headers["Authorization"] = f"Bearer {server.post('/tokens/', body)['token']}"
        for _ in range(options.rounds):
            alone = asyncio.run(_bcrypt_per_s(options.seconds))
            throughput.append(_logins_per_s(server, options.seconds) / alone)
            before = _p95_ms(server, options.seconds)
            with ThreadPoolExecutor(1) as background:
                flood = background.submit(_logins_per_s, server, options.seconds)
                patience.append(_p95_ms(server, options.seconds) / before)
                flood.result()
    report.at_least("logins/s, against bcrypt alone on all processors", 0.9, throughput)
    report.at_most("p95 of other requests, against without logins", 2.0, patience)
    report.note(f"{options.rounds} rounds, interleaved; the clients share the processors with the server")
    return report
