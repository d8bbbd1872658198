"""Fixtures: every test has a database of its own, on SQLite and on each server that the lab runs."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from parcela.db.engine import async_url
from parcela.db.migrate import upgrade
from tests.integration.identity.support import Client, Identity, open_client, open_identity

SERVERS = {name: os.environ.get(name, "") for name in ("PARCELA_TEST_POSTGRES_URL", "PARCELA_TEST_MARIADB_URL")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "parcela.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated: Path, tmp_path: Path) -> str:
    path = tmp_path / "parcela.db"
    shutil.copyfile(migrated, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", *(name for name, url in SERVERS.items() if url)])
def any_url(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[str]:
    """A fresh database on each server there is."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    server = SERVERS[request.param]
    name = f"identity_{uuid4().hex[:12]}"
    _administer(server, f"CREATE DATABASE {name}")
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    upgrade(url)
    yield url
    _administer(server, f"DROP DATABASE {name}")


def _administer(url: str, statement: str) -> None:
    async def main() -> None:
        engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    with ThreadPoolExecutor(max_workers=1) as pool:  # the caller may run a loop already
        pool.submit(lambda: asyncio.run(main())).result()


@pytest.fixture
async def identity(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Identity]:
    async with open_identity(sqlite_url, tmp_path) as made:
        yield made


@pytest.fixture
async def anywhere(any_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Identity]:
    """The services on each kind of database there is."""
    async with open_identity(any_url, tmp_path) as made:
        yield made


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[Client]:
    async with open_client(identity) as made:
        yield made
