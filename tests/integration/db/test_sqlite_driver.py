"""SQLite through our cursor: what a statement gives, and how often it goes to the connection's thread."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from parcela.db.engine import make_engine

pytestmark = pytest.mark.anyio
THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(20), nullable=False, unique=True),
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(f"sqlite:///{tmp_path}/things.db")
    async with engine.begin() as connection:
        await connection.run_sync(THINGS.metadata.create_all)
        await connection.execute(insert(THINGS), [{"name": name} for name in ("a", "b", "c")])
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        yield connection


async def names(connection: AsyncConnection) -> list[str]:
    return list((await connection.scalars(select(THINGS.c.name).order_by(THINGS.c.id))).all())


async def test_rows_and_their_labels(connection: AsyncConnection) -> None:
    result = await connection.execute(select(THINGS).order_by(THINGS.c.id))
    assert list(result.keys()) == ["id", "name"]
    assert result.fetchone() == (1, "a")
    assert result.fetchmany(1) == [(2, "b")]
    assert result.all() == [(3, "c")]
    assert (await connection.execute(select(THINGS).where(THINGS.c.name == "x"))).all() == []


async def test_counts_and_new_ids(connection: AsyncConnection) -> None:
    assert (
        await connection.execute(update(THINGS).where(THINGS.c.id > 1).values(name=THINGS.c.name + "!"))
    ).rowcount == 2
    assert (await connection.execute(delete(THINGS).where(THINGS.c.id == 9))).rowcount == 0
    assert (await connection.execute(insert(THINGS).values(name="d"))).inserted_primary_key == (4,)
    made = await connection.execute(insert(THINGS).returning(THINGS.c.id), [{"name": "e"}, {"name": "f"}])
    assert sorted(made.scalars()) == [5, 6]
    many = text("UPDATE things SET name = :to WHERE name = :name")
    changed = await connection.execute(many, [{"name": "a", "to": "A"}, {"name": "d", "to": "D"}])
    assert changed.rowcount == 2
    assert await names(connection) == ["A", "b!", "c!", "D", "e", "f"]
    await connection.rollback()
    assert await names(connection) == ["a", "b", "c"]


async def test_errors_are_those_of_the_driver(connection: AsyncConnection) -> None:
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        await connection.execute(insert(THINGS).values(name="a"))
    with pytest.raises(OperationalError, match="no such table"):
        await connection.execute(text("SELECT * FROM strangers"))
    assert await names(connection) == ["a", "b", "c"]


async def test_a_stream_is_read_bit_by_bit(connection: AsyncConnection) -> None:
    async with connection.stream(select(THINGS.c.name).order_by(THINGS.c.id)) as result:
        assert [row async for row in result.scalars()] == ["a", "b", "c"]


async def test_a_statement_is_one_journey(connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    await names(connection)  # has begun the transaction
    journeys = []
    queue: Any = aiosqlite.Connection._execute

    async def counted(self: aiosqlite.Connection, function: Any, *arguments: Any) -> Any:
        journeys.append(function)
        return await queue(self, function, *arguments)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    for expected in (1, 2):
        assert await names(connection) == ["a", "b", "c"]
        assert len(journeys) == expected
    await connection.execute(
        text("UPDATE things SET name = :to WHERE id = :id"), [{"to": "x", "id": 1}, {"to": "y", "id": 2}]
    )
    assert len(journeys) == 3
