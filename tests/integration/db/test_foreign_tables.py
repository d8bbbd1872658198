"""A database of another system is refused before anything is changed in it."""

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.db import migrate, schema
from parcela.db.engine import make_engine
from tests.support.fixtures import SERVERS
from tests.support.servers import empty_database, why_missing

ORIGINALS = {
    "siglab": ["CREATE TABLE usuarios (id INTEGER PRIMARY KEY)", "CREATE TABLE maquinas (codigo VARCHAR(50))"],
    "cloud": ["CREATE TABLE users (id INTEGER PRIMARY KEY)", "CREATE TABLE slices (slice_id INTEGER PRIMARY KEY)"],
    "one that uses Alembic, before its first version": [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "CREATE TABLE virtual_machines (id INTEGER PRIMARY KEY)",
    ],
}


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if reason := why_missing(request.param):
        pytest.skip(reason)
    with empty_database(request.param, tmp_path) as found:
        yield found


def run(url: str, *statements: str) -> None:
    async def work() -> None:
        engine = make_engine(url)
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await engine.dispose()

    asyncio.run(work())


def tables(url: str) -> list[str]:
    async def work() -> list[str]:
        engine = make_engine(url)
        async with engine.connect() as connection:
            found: list[str] = await connection.run_sync(lambda sync: sorted(inspect(sync).get_table_names()))
        await engine.dispose()
        return found

    return asyncio.run(work())


@pytest.mark.parametrize("system", ORIGINALS)
def test_tables_of_others_are_left_alone(url: str, system: str) -> None:
    run(url, *ORIGINALS[system])
    before = tables(url)
    with pytest.raises(ParcelaError, match="Give Parcela a database of its own") as caught:
        migrate.upgrade(url)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.CONFLICT, "database_not_ours")
    assert next(name for name in before if name != "alembic_version") in caught.value.message
    assert tables(url) == before


def test_the_file_of_another_system_keeps_its_mode_and_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with sqlite3.connect(path) as original:
        original.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    original.close()
    path.chmod(0o664)
    before = path.read_bytes()
    with pytest.raises(ParcelaError, match="has tables \\(users\\)"):
        migrate.upgrade(f"sqlite:///{path}")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o664, before)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_version_of_another_system_is_left_alone(url: str) -> None:
    run(url, *ORIGINALS["one that uses Alembic, before its first version"])
    run(url, "INSERT INTO alembic_version VALUES ('9f8e7d6c5b4a')")
    before = tables(url)
    with pytest.raises(ParcelaError) as caught:
        migrate.upgrade(url)
    assert caught.value.code == "schema_unknown"
    assert tables(url) == before


def test_an_empty_database_becomes_ours_and_stays_so(url: str) -> None:
    migrate.upgrade(url)
    migrate.upgrade(url)
    assert schema.is_current(url)
