"""Readers get their connection in the order in which they asked."""

import asyncio
import os
from contextvars import ContextVar
from pathlib import Path

import pytest
from sqlalchemy import event, text

from parcela.core.errors import ParcelaError
from parcela.db import database as module
from parcela.db.database import Database
from parcela.db.engine import POOL_SIZE, default_pool_size

pytestmark = pytest.mark.anyio
COUNT = 40


async def test_nobody_who_comes_later_overtakes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'some.db'}", pool_size=POOL_SIZE)
    asked: list[int] = []
    served: list[int] = []
    who: ContextVar[int] = ContextVar("who")

    async def read(number: int) -> None:
        who.set(number)
        asked.append(number)
        async with database.read_session() as session:
            await session.execute(text("SELECT 1"))

    async def read_twice(number: int) -> None:
        await read(number)
        # Right when a connection comes free, while others have been waiting for it.
        await read(COUNT + number)

    try:
        # Noted when they get it: which of their threads is done first is no matter of order.
        event.listen(database.reading.sync_engine, "checkout", lambda *_: served.append(who.get()))
        async with asyncio.TaskGroup() as tasks:
            for number in range(COUNT):
                tasks.create_task(read_twice(number))
    finally:
        await database.aclose()
    assert len(served) == 2 * COUNT
    # The first ones make the connections, which takes one longer than another.
    assert [one for one in served if one >= POOL_SIZE] == [one for one in asked if one >= POOL_SIZE]


@pytest.mark.parametrize(("processors", "connections"), [(None, 2), (1, 2), (3, 3), (64, 4)])
def test_sqlite_has_no_more_readers_than_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int | None, connections: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert default_pool_size("sqlite:////tmp/some.db") == connections
    assert default_pool_size("postgresql://lab@db/lab") == POOL_SIZE


async def test_standing_in_line_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    database = Database(f"sqlite:///{tmp_path / 'some.db'}", pool_size=POOL_SIZE)
    try:
        async with asyncio.timeout(30):
            held = [database.read_session() for _ in range(POOL_SIZE)]
            for session in held:
                await session.__aenter__()
            with pytest.raises(ParcelaError) as caught:
                async with database.read_session():
                    pass
            assert caught.value.code == "database_busy"
            for session in held:
                await session.__aexit__(None, None, None)
            async with database.read_session() as after:
                await after.execute(text("SELECT 1"))
    finally:
        await database.aclose()
