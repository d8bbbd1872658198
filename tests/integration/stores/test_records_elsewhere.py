"""Maintenance records in the store that the settings do not name: said at the start and by health, until they moved."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcela.core.settings import Settings
from parcela.db.migrate import upgrade
from parcela.services.inventory.record_store_check import IN_MONGODB, IN_TABLES, NAME
from tests.integration.stores.replicas import Replica, replica, replica_settings
from tests.support.mongo import drop, fresh_url, why_no_mongo

pytestmark = [pytest.mark.anyio, pytest.mark.store]


@pytest.fixture
def mongo_url() -> Iterator[str]:
    if reason := why_no_mongo():
        pytest.skip(reason)
    url = fresh_url()
    yield url
    drop(url)


@asynccontextmanager
async def started(settings: Settings, warnings: list[str]) -> AsyncIterator[Replica]:
    """A server; ``warnings`` gets what its start said of records elsewhere."""
    with capture_logs() as lines:
        async with replica(settings) as one:
            warnings[:] = [line["reason"] for line in lines if line["event"] == "maintenance.elsewhere"]
            await one.login()
            yield one


async def told(one: Replica) -> tuple[str, str]:
    checks = (await one.call("GET", "/system/health")).json()["checks"]
    [found] = [(check["status"], check["detail"]) for check in checks if check["name"] == NAME]
    return found


async def add_record(one: Replica) -> None:
    made = await one.call("POST", "/machines/", json={"code": "PC-1", "type": "PC"})
    assert made.status_code == 201, made.text
    body = {"machine_id": made.json()["id"], "kind": "preventive", "state": "done", "notes": "kept"}
    answer = await one.call("POST", "/maintenance-records/", json=body)
    assert answer.status_code == 201, answer.text


async def notes_of(one: Replica) -> list[str]:
    answer = await one.call("GET", "/maintenance-records/")
    return [record["notes"] for record in answer.json()["items"]]


async def move(folder: Path, database_url: str, mongo_url: str, to: str) -> None:
    names = {"PARCELA_DATA_DIR": str(folder), "DATABASE_URL": database_url, "MONGO_URL": mongo_url}
    environment = os.environ | names | {"PARCELA_HYPERVISOR": "simulated"}
    command = [sys.executable, "-m", "parcela.cli", "store", "move", "--to", to]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["sql", "mongo"])
async def test_it_is_said_until_they_are_moved(mongo_url: str, tmp_path: Path, anyio_backend: str, first: str) -> None:
    url = f"sqlite:///{tmp_path / 'parcela.db'}"
    upgrade(url)
    folder = tmp_path / "one"
    tables = replica_settings(folder, url)
    mongo = replica_settings(folder, url, MONGO_URL=mongo_url)
    right, wrong, text = (tables, mongo, IN_TABLES) if first == "sql" else (mongo, tables, IN_MONGODB)
    said: list[Any] = []

    async with started(right, said) as one:
        assert (said, (await told(one))[0]) == ([], "ok")
        await add_record(one)
        await one.app.state.workers.reconcilers.round()
        assert (await told(one))[0] == "ok"
    async with started(wrong, said) as one:
        assert said == [text]
        assert await told(one) == ("down", text)
        assert await notes_of(one) == []  # this is what nobody understood
    await move(folder / "data", url, mongo_url, "mongo" if first == "sql" else "sql")
    async with started(wrong, said) as one:
        assert (said, (await told(one))[0], await notes_of(one)) == ([], "ok", ["kept"])
