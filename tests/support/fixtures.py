"""Fixtures that any test may use; ``tests/conftest.py`` offers them."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.furnish import furnish
from tests.support.lab import Lab, open_lab
from tests.support.servers import Template, make_template, why_missing
from tests.support.snapshots import Snapshots

SERVERS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.database),
    pytest.param("mariadb", marks=pytest.mark.database),
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Template]]:
    """Furnished templates by server, made on first use."""
    made: dict[str, Template] = {}

    def template(server: str) -> Template:
        if server not in made:
            made[server] = make_template(server, tmp_path_factory.mktemp("template"), furnish)
        return made[server]

    yield template
    for one in made.values():
        one.close()


@pytest.fixture
def sqlite_lab_url(furnished: Callable[[str], Template], tmp_path: Path) -> str:
    """A furnished SQLite database of one's own."""
    return furnished("sqlite").clone(tmp_path)


@pytest.fixture(params=SERVERS)
def any_lab_url(request: pytest.FixtureRequest, furnished: Callable[[str], Template], tmp_path: Path) -> Iterator[str]:
    """A furnished database of one's own, on each kind of server."""
    reason = why_missing(request.param)
    if reason:
        pytest.skip(reason)
    template = furnished(request.param)
    url = template.clone(tmp_path)
    yield url
    template.drop(url)


@pytest.fixture(scope="session")
def snapshots(furnished: Callable[[str], Template], tmp_path_factory: pytest.TempPathFactory) -> Snapshots[Any]:
    """Installations in certain states, on SQLite."""
    return Snapshots(furnished("sqlite").clone, tmp_path_factory.mktemp("snapshots"))


@pytest.fixture
async def faulty(sqlite_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    """An installation on SQLite with one large host."""
    async with open_lab(sqlite_lab_url, tmp_path) as lab:
        yield lab


@pytest.fixture
async def faulty_anywhere(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    """The same on every kind of server."""
    async with open_lab(any_lab_url, tmp_path) as lab:
        yield lab
