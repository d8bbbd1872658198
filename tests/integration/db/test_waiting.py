"""Readers get their connection in the order in which they asked."""

import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import text

from parcela.core.errors import ParcelaError
from parcela.db import database as module
from parcela.db.database import Database
from parcela.db.engine import POOL_SIZE, default_pool_size

pytestmark = pytest.mark.anyio
COUNT = 40


async def test_nobody_who_comes_later_overtakes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'some.db'}", pool_size=POOL_SIZE)
    served: list[int] = []
    later: list[asyncio.Task[None]] = []

    async def read(number: int) -> None:
        async with database.read_session() as session:
            await session.execute(text("SELECT 1"))
            served.append(number)
        if number < COUNT:
            # Right when a connection comes free, while others have been waiting for it.
            later.append(asyncio.create_task(read(COUNT + number)))

    try:
        first = [asyncio.create_task(read(number)) for number in range(COUNT)]
        await asyncio.gather(*first)
        await asyncio.gather(*later)
    finally:
        await database.aclose()
    places = {number: place for place, number in enumerate(served)}
    assert len(places) == 2 * COUNT
    # As many as there are connections read side by side; beyond that nobody is out of turn.
    assert max(places[number] for number in range(COUNT)) < COUNT + POOL_SIZE


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
