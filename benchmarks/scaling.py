"""The queries behind list and detail with 1,000,000 VMs against 1,000, on SQLite and on the lab's servers."""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.servers import URLS, empty_database, why_missing

from benchmarks.report import Report
from benchmarks.rows import NOW, VMS_OF_OWNER, Filled, fill
from parcela.db.database import Database
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory

SMALL, LARGE = 1_000, 1_000_000
CREATED = NOW.strip("'") + "+00:00"


Ask = Callable[[ReadUnitOfWork], Awaitable[object]]


async def _asked(uows: UnitOfWorkFactory, ask: Ask) -> float:
    """Milliseconds of one question in a unit of work of its own."""
    started = time.perf_counter()
    async with uows.read() as uow:
        assert await ask(uow)
    return (time.perf_counter() - started) * 1000


def _after(sort: str, value: object, row_id: int) -> PageRequest:
    """A page that begins after a row."""
    cursor = urlsafe_b64encode(json.dumps([sort, value, row_id]).encode()).decode().rstrip("=")
    return PageRequest(sort=sort, cursor=cursor)


def _page(number: int, _ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(_after("id", number, number))


def _one(number: int, _ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(PageRequest(limit=1), vm_id=number)


def _by_name(number: int, _ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(_after("name", f"bench{number}", number))


def _newest(number: int, _ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(_after("-created_at", CREATED, number + VMS_OF_OWNER))


def _named(number: int, _ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(PageRequest(), name=f"bench{number}")


def _of_owner(number: int, ids: Filled) -> Ask:
    return lambda uow: uow.vms.page(PageRequest(), owner_id=ids.user + number // VMS_OF_OWNER)


QUESTIONS: dict[str, Callable[[int, Filled], Ask]] = {
    "page of 50, anywhere in the list": _page,
    "one VM": _one,
    "page of 50 by name": _by_name,
    "page of 50, the newest first": _newest,
    "the VMs of one name": _named,
    "the VMs of one owner": _of_owner,
}


async def _compare(
    stores: Sequence[UnitOfWorkFactory],
    counts: Sequence[int],
    ids: Sequence[Filled],
    make: Callable[[int, Filled], Ask],
    queries: int,
) -> tuple[float, float]:
    """Median milliseconds of small and large, of interleaved questions all over the tables."""
    times: list[list[float]] = [[], []]
    for number in range(queries):
        for index, (uows, count, filled) in enumerate(zip(stores, counts, ids, strict=True)):
            times[index].append(await _asked(uows, make(1 + number * count // (queries + 1), filled)))
    return statistics.median(times[0]), statistics.median(times[1])


async def _measure(
    report: Report, name: str, urls: Sequence[str], ids: Sequence[Filled], options: argparse.Namespace
) -> None:
    counts = (SMALL, options.large)
    databases = [Database(url) for url in urls]
    stores = [UnitOfWorkFactory(database) for database in databases]
    for what, make in QUESTIONS.items():
        await _compare(stores, counts, ids, make, options.queries)  # warm: page cache, statements
        found = [await _compare(stores, counts, ids, make, options.queries) for _ in range(options.rounds)]
        report.at_most(f"{name}, {what}: p50", 1.2, [large / small for small, large in found])
        shown = " / ".join(f"{statistics.median(side):.2f} ms" for side in reversed(list(zip(*found, strict=True))))
        report.fact("  large / small", shown)
    for database in databases:
        await database.aclose()


def run(arguments: Sequence[str]) -> Report:
    parser = argparse.ArgumentParser(prog="scaling")
    parser.add_argument("--large", type=int, default=LARGE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=60, help="of each kind, per round and side")
    kinds = ["sqlite", *(name for name in URLS if not why_missing(name))]
    parser.add_argument("--databases", default=",".join(kinds), help="separated by commas: sqlite, postgres, mariadb")
    options = parser.parse_args(arguments)
    report = Report(f"{options.large} VMs against {SMALL}")
    for name in options.databases.split(","):
        with tempfile.TemporaryDirectory(dir=os.environ.get("PARCELA_TEST_TMP")) as base, ExitStack() as stack:
            urls, ids = [], []
            for count in (SMALL, options.large):
                folder = Path(base) / str(count)
                folder.mkdir()
                urls.append(stack.enter_context(empty_database(name, folder)))
                ids.append(fill(urls[-1], count))
            asyncio.run(_measure(report, name, urls, ids, options))
    for name in URLS:
        if name not in options.databases:
            report.note(f"{name} not measured: {why_missing(name) or 'not asked for'}")
    report.note(f"queries as the list and the detail make them, {options.queries} of each per round, interleaved")
    return report
