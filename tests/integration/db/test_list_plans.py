"""Every order and filter of the long lists finds its rows by an index: a page costs the same in a large table.

PostgreSQL reads a small table from one end to the other whatever there is, so here it is forbidden to, and to sort:
what is left is whether it could do without. MariaDB has the same indexes, but cannot be forbidden anything.
"""

import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from benchmarks.rows import Filled, fill
from sqlalchemy import event, text

from parcela.db.database import Database
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWorkFactory
from tests.support.servers import empty_database, why_missing

pytestmark = [pytest.mark.anyio, pytest.mark.database]
VMS = 400
Ask = Callable[[ReadUnitOfWork, Filled], Coroutine[Any, Any, Page]]
CREATED = "2026-01-01T00:00:00+00:00"


def after(sort: str, value: object, row_id: int = 7) -> PageRequest:
    """The page after a row."""
    raw = json.dumps([sort, value, row_id]).encode()
    return PageRequest(sort=sort, cursor=base64.urlsafe_b64encode(raw).decode().rstrip("="))


ORDERS = [
    *(PageRequest(sort=sign + name) for name in ("id", "name", "created_at", "state") for sign in ("", "-")),
    *(after(sign + "name", "bench5") for sign in ("", "-")),
    *(after(sign + "created_at", CREATED) for sign in ("", "-")),
    *(after(sign + "state", "running") for sign in ("", "-")),
]
FILTERS: dict[str, Ask] = {
    "vms by name": lambda uow, _ids: uow.vms.page(PageRequest(), name="bench7"),
    "vms by label": lambda uow, _ids: uow.vms.page(PageRequest(), label="bench7"),
    "vms by state": lambda uow, _ids: uow.vms.page(PageRequest(), state="error"),
    "slices by name": lambda uow, _ids: uow.slices.page(PageRequest(), name="bench7"),
    "slices by state": lambda uow, _ids: uow.slices.page(PageRequest(), state="error"),
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Filled]]:
    """A database with some VMs; no test writes."""
    if why := why_missing(request.param):
        pytest.skip(why)
    with empty_database(request.param, tmp_path_factory.mktemp("plans")) as url:
        yield url, fill(url, VMS)


async def plan(url: str, ids: Filled, ask: Ask) -> str:
    """What the database would do for the last statement of a question."""
    database = Database(url)
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: object, *_rest: object) -> None:
        seen.append((statement, values))

    try:
        event.listen(database.reading.sync_engine, "before_cursor_execute", note)
        async with UnitOfWorkFactory(database).read() as uow:
            await ask(uow, ids)
        statement, values = seen[-1]
        async with database.reading.connect() as connection:
            if not database.is_sqlite:
                for way in ("seqscan", "sort", "bitmapscan"):
                    await connection.execute(text(f"SET enable_{way} = off"))
            word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN (COSTS OFF)"
            rows = (await connection.exec_driver_sql(f"{word} {statement}", values)).all()
            return "\n".join(str(row[-1]) for row in rows)
    finally:
        await database.aclose()


def enters_by_index(shown: str, table: str, column: str = "") -> bool:
    """Whether it goes straight to a place in an index of the table."""
    index = f"ix_{table}_{column}"
    if f"SEARCH {table} USING INDEX {index}" in shown:
        return True
    lines = shown.splitlines()
    return any(index in line and "Index Cond" in below for line, below in pairwise(lines))


@pytest.mark.parametrize(
    ("noun", "request_"),
    [
        *((noun, request) for noun in ("vms", "slices") for request in ORDERS),
        *(
            ("vms", request)
            for sign in ("", "-")
            for request in (PageRequest(sort=f"{sign}label"), after(f"{sign}label", ""))
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value.sort + (" after" if value.cursor else ""),
)
async def test_orders_come_from_an_index(filled: tuple[str, Filled], request_: PageRequest, noun: str) -> None:
    shown = await plan(*filled, lambda uow, _ids: getattr(uow, noun).page(request_))
    table = {"vms": "virtual_machines", "slices": "slices"}[noun]
    for bad in ("TEMP B-TREE", "Sort Key", f"Seq Scan on {table}"):
        assert bad not in shown, shown
    if request_.cursor:
        assert enters_by_index(shown, table, request_.sort.removeprefix("-")), shown


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_use_an_index(filled: tuple[str, Filled], name: str) -> None:
    shown = await plan(*filled, FILTERS[name])
    noun, _by, column = name.split()
    assert enters_by_index(shown, {"vms": "virtual_machines", "slices": "slices"}[noun], column), shown


async def test_pages_of_every_order_are_whole(filled: tuple[str, Filled]) -> None:
    url, _ids = filled
    database = Database(url)
    try:
        for sort in ("name", "-name", "created_at", "-created_at", "state", "-state"):
            seen: list[int] = []
            cursor: str | None = None
            while True:
                async with UnitOfWorkFactory(database).read() as uow:
                    page = await uow.vms.page(PageRequest(limit=70, sort=sort, cursor=cursor))
                seen += [row["id"] for row in page.rows]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert (len(seen), len(set(seen))) == (VMS, VMS), sort
    finally:
        await database.aclose()


NAMES: dict[str, tuple[Ask, str]] = {
    "machines by area": (lambda uow, _ids: uow.machines.page(PageRequest(sort="area"), {}), "machines"),
    "machines by code": (lambda uow, _ids: uow.machines.page(PageRequest(sort="-code"), {}), "machines"),
    "machines by type": (lambda uow, _ids: uow.machines.page(after("type", "Ñandú"), {}), "machines"),
    "users by email": (lambda uow, _ids: uow.users.page(PageRequest(sort="email")), "users"),
    "users by full name": (lambda uow, _ids: uow.users.page(after("full_name", "Ñandú")), "users"),
    "projects by name": (lambda uow, _ids: uow.projects.page(PageRequest(sort="name")), "projects"),
    "templates by name": (
        lambda uow, _ids: uow.templates.page(PageRequest(sort="name"), visible_to=None),
        "templates",
    ),
    "images by name": (lambda uow, _ids: uow.images.page(PageRequest(sort="name"), visible_to=None), "images"),
    "plans by title": (
        lambda uow, _ids: uow.maintenance_plans.page(PageRequest(sort="title"), {}, date(2030, 1, 1)),
        "maintenance_plans",
    ),
    "webhooks by name": (lambda uow, _ids: uow.webhooks.page(PageRequest(sort="name")), "webhooks"),
}


@pytest.mark.parametrize("what", NAMES)
async def test_names_are_ordered_by_an_index(filled: tuple[str, Filled], what: str) -> None:
    ask, table = NAMES[what]
    shown = await plan(*filled, ask)
    for bad in ("TEMP B-TREE", "Sort Key", f"Seq Scan on {table}"):
        assert bad not in shown, shown


@pytest.mark.parametrize("column", ["area", "type"])
async def test_machines_are_filtered_by_an_index(filled: tuple[str, Filled], column: str) -> None:
    shown = await plan(*filled, lambda uow, _ids: uow.machines.page(PageRequest(), {column: "Señales"}))
    assert enters_by_index(shown, "machines", f"{column}_fold"), shown
