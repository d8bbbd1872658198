"""The queries behind list and detail with 1,000,000 VMs against 1,000, on SQLite."""

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.report import Report
from benchmarks.servers import parcela
from parcela.db.database import Database
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory

SMALL, LARGE = 1_000, 1_000_000
QUERIES = 60
ROUNDS = 5
COLUMNS = """uuid, name, owner_id, zone_id, image_id, flavour_id, cores, memory_mib, disk_gib, state, desired,
             crash_policy, error, generation, guest, created_at, updated_at"""


def _fill(database: Path, count: int) -> None:
    """Rows of VMs, written directly."""
    with sqlite3.connect(database) as connection:
        flavour = connection.execute("SELECT id FROM flavours WHERE name = 'tiny'").fetchone()[0]
        image = connection.execute("SELECT id FROM images LIMIT 1").fetchone()[0]
        zone = connection.execute("SELECT id FROM zones LIMIT 1").fetchone()[0]
        now = "2026-01-01 00:00:00.000000"
        same = (1, zone, image, flavour, 1, 128, 1, "defined", "defined", "error", "", 1, "{}", now, now)
        rows = ((f"{number:032x}", f"vm{number}", *same) for number in range(count))
        connection.executemany(f"INSERT INTO virtual_machines ({COLUMNS}) VALUES ({','.join('?' * 17)})", rows)  # noqa: S608
        connection.execute("ANALYZE")
    connection.close()


Ask = Callable[[ReadUnitOfWork], Awaitable[object]]


async def _asked(uows: UnitOfWorkFactory, ask: Ask) -> float:
    """Milliseconds of one question in a unit of work of its own."""
    started = time.perf_counter()
    async with uows.read() as uow:
        assert await ask(uow)
    return (time.perf_counter() - started) * 1000


def _page(row_id: int) -> Ask:
    """A page that begins after a row."""
    cursor = urlsafe_b64encode(f'["id", {row_id}, {row_id}]'.encode()).decode().rstrip("=")
    return lambda uow: uow.vms.page(PageRequest(cursor=cursor))


def _one(row_id: int) -> Ask:
    return lambda uow: uow.vms.page(PageRequest(limit=1), vm_id=row_id)


async def _compare(stores: Sequence[UnitOfWorkFactory], counts: Sequence[int], make: Callable[[int], Ask]) -> float:
    """Ratio of the median times, large against small, of interleaved questions all over the tables."""
    times: list[list[float]] = [[], []]
    for number in range(QUERIES):
        for index, (uows, count) in enumerate(zip(stores, counts, strict=True)):
            times[index].append(await _asked(uows, make(1 + number * count // QUERIES)))
    return statistics.median(times[1]) / statistics.median(times[0])


async def _measure(folders: Sequence[Path], counts: Sequence[int], report: Report) -> None:
    databases = [Database(f"sqlite+aiosqlite:///{folder}/parcela.db") for folder in folders]
    stores = [UnitOfWorkFactory(database) for database in databases]
    for what, make in (("page of 50, anywhere in the list", _page), ("one VM", _one)):
        await _compare(stores, counts, make)  # warm: page cache, statements
        report.at_most(f"{what}: p50", 1.2, [await _compare(stores, counts, make) for _ in range(ROUNDS)])
    for database in databases:
        await database.aclose()


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="scaling")
    parser.add_argument("--large", type=int, default=LARGE)
    options = parser.parse_args(arguments)
    report = Report(f"{options.large} VMs against {SMALL}")
    with tempfile.TemporaryDirectory(dir=os.environ.get("PARCELA_TEST_TMP")) as base:
        folders = [Path(base) / name for name in ("small", "large")]
        for folder, count in zip(folders, (SMALL, options.large), strict=True):
            with parcela(folder):
                pass
            _fill(folder / "parcela.db", count)
        asyncio.run(_measure(folders, (SMALL, options.large), report))
    report.note(f"SQLite, queries as the list and the detail make them, {QUERIES} of each per round, interleaved")
    return report
