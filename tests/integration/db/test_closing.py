"""A database that is closed leaves no connection open: one that is left takes its thread and its file with it."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import event, text

from parcela.db.database import Database

pytestmark = pytest.mark.anyio
PATIENCE_S = 60


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["read_session", "write_session"])
async def test_it_waits_for_who_still_reads_or_writes(tmp_path: Path, kind: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'some.db'}")
    engine = (database.reading if kind == "read_session" else database.engine).sync_engine
    happened: list[str] = []
    event.listen(engine, "checkin", lambda *_: happened.append("given back"))
    event.listen(engine, "engine_disposed", lambda *_: happened.append("closed"))
    opened, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with getattr(database, kind)() as session:
            await session.execute(text("SELECT 1"))
            opened.set()
            await go_on.wait()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await opened.wait()
        closing = tasks.create_task(database.aclose(patience_s=PATIENCE_S))
        await some_turns()
        assert not closing.done()
        working.cancel()  # its client hung up; the end of its session goes on without it
        await closing
    assert happened == ["given back", "closed"]


async def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'some.db'}")
    async with asyncio.timeout(PATIENCE_S), database.read_session():  # without a connection so far: none would be left
        await database.aclose(patience_s=0)
