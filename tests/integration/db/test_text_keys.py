"""Migration 0023: what was there before gets its sort keys and folded forms, on every kind of database."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from parcela.db import migrate
from parcela.db.engine import make_engine
from tests.support.fixtures import SERVERS
from tests.support.servers import empty_database, why_missing

pytestmark = pytest.mark.database
NOW = "'2026-01-01 00:00:00'"
PROJECTS = ["nube", "A\u0301baco", "\u00c1BACO", "\u00d1and\u00fa", "Stra\u00dfe", "strasse"]
"""The third is the twin of the second, and the sixth that of the fifth: names of their own until now."""
MACHINES = 450
"""More than two batches of the migration."""


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if reason := why_missing(request.param):
        pytest.skip(reason)
    with empty_database(request.param, tmp_path) as made:
        yield made


def run(url: str, *statements: tuple[str, Sequence[dict[str, Any]]]) -> list[Any]:
    """Rows of the last statement; each is run for every one of its values, or once without any."""

    async def work() -> list[Any]:
        engine = make_engine(url)
        rows: list[Any] = []
        async with engine.begin() as connection:
            for statement, values in statements:
                result = await connection.execute(text(statement), list(values) or None)
                rows = list(result.all()) if result.returns_rows else []
        await engine.dispose()
        return rows

    return asyncio.run(work())


def fill_older(url: str) -> None:
    """Rows as the version before stored them."""
    project = f"""INSERT INTO projects (name, name_key, kind, description, created_at, updated_at)
        VALUES (:name, :key, 'class', '', {NOW}, {NOW})"""  # noqa: S608
    machine = f"""INSERT INTO machines (code, type, area, status, serial, notes, registered_on, custom_fields,
        created_at, updated_at)
        VALUES (:code, 'PC', :area, 'operational', '', :notes, '2026-01-01', '{{}}', {NOW}, {NOW})"""  # noqa: S608
    record = f"""INSERT INTO maintenance_records (id, machine_id, kind, state, performed_on, company, technician, notes,
        currency, author, created_at, updated_at)
        VALUES (:id, 1, 'corrective', 'done', '2026-01-01', 'N\u00fa\u00f1ez', 'I\u00f1aki', '', '', '',
        {NOW}, {NOW})"""  # noqa: S608
    # Twins in case only were refused, so keys differ: MariaDB compares them without accents, hence the numbers.
    projects = [{"name": name, "key": f"{number}{name.lower()}"} for number, name in enumerate(PROJECTS)]
    machines = [
        {"code": f"PC-{number}", "area": "Se\u00f1ales", "notes": f"Luz de SE\u00d1ALIZACI\u00d3N {number}"}
        for number in range(MACHINES)
    ]
    run(url, (project, projects), (machine, machines), (record, [{"id": "0" * 36}]))


def test_rows_that_were_there_are_found_and_ordered(url: str) -> None:
    migrate.upgrade(url, "0024")
    fill_older(url)
    migrate.upgrade(url, "0023")
    rows = run(url, ("SELECT name, name_key FROM projects ORDER BY name_sort, id", []))
    assert [row[0] for row in rows] == ["\u00c1baco", "\u00c1BACO", "nube", "\u00d1and\u00fa", "strasse", "Stra\u00dfe"]
    keys = {row[0]: row[1] for row in rows}
    assert (keys["\u00c1baco"], keys["Stra\u00dfe"], keys["nube"]) == ("\u00e1baco", "strasse", "nube")
    assert keys["\u00c1BACO"].startswith("\u00e1baco\n")
    assert keys["strasse"].startswith("strasse\n")
    found = "SELECT count(*), min(code_sort), max(area_fold) FROM machines WHERE search_text LIKE '%de senalizacion%'"
    assert [tuple(row) for row in run(url, (found, []))] == [(MACHINES, "pc$0!!##", "senales")]
    records = run(url, ("SELECT company_fold, technician_fold, notes_fold FROM maintenance_records", []))
    assert [tuple(row) for row in records] == [("nunez", "inaki", "")]


def test_the_version_before_reads_what_is_left(url: str) -> None:
    migrate.upgrade(url, "0024")
    fill_older(url)
    migrate.upgrade(url, "0023")
    migrate.downgrade(url, "0024")
    rows = run(url, ("SELECT name, name_key FROM projects ORDER BY id", []))
    assert [row[0] for row in rows] == ["nube", "\u00c1baco", "\u00c1BACO", "\u00d1and\u00fa", "Stra\u00dfe", "strasse"]
    keys = [row[1] for row in rows if "\u00c1" not in row[0]]
    assert keys == ["nube", "\u00f1and\u00fa", "stra\u00dfe", "strasse"]
    migrate.upgrade(url)
    migrate.check(url)
