"""Fixtures: every test has a database of its own, on SQLite and on each server that the lab runs."""

import random
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyotp
import pytest

from parcela.db.migrate import upgrade
from tests.integration.identity.support import Client, Identity, open_client, open_identity
from tests.support.servers import empty_database, why_missing

SERVERS = ("sqlite", "postgres", "mariadb")
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of apps that are the same in every run: of random ones, now and then a code that is guessed is right."""
    chance = random.Random(1)  # noqa: S311 (protects nothing)
    monkeypatch.setattr(pyotp, "random_base32", lambda: "".join(chance.choices(BASE32, k=32)))


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


@pytest.fixture(params=[server for server in SERVERS if not why_missing(server)])
def any_url(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    """A fresh database on each server there is."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    with empty_database(request.param, tmp_path) as url:
        upgrade(url)
        yield url


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
