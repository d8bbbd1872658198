"""Every test of the stores' contract runs on each kind of store."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from parcela.repositories.maintenance.store import OutsideStore
from tests.contract.stores.kinds import Opened, memory_outside, memory_stores, mongo_outside, mongo_stores, sql_stores
from tests.support.mongo import why_no_mongo
from tests.support.servers import Template, why_missing

KINDS = [
    "memory",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.database),
    pytest.param("mariadb", marks=pytest.mark.database),
    pytest.param("mongo", marks=pytest.mark.store),
]


@pytest.fixture(params=KINDS)
def _place(request: pytest.FixtureRequest, furnished: Callable[[str], Template], tmp_path: Path) -> Iterator[str]:
    """A database URL, or the name of a kind of store that needs none."""
    if request.param == "memory":
        yield "memory"
        return
    if request.param == "mongo":
        if reason := why_no_mongo():
            pytest.skip(reason)
        yield "mongo"
        return
    if reason := why_missing(request.param):
        pytest.skip(reason)
    template = furnished(request.param)
    url = template.clone(tmp_path)
    yield url
    template.drop(url)


@pytest.fixture
async def stores(_place: str, anyio_backend: str) -> AsyncIterator[Opened]:
    """Opens empty stores of each kind."""
    kinds = {"memory": memory_stores, "mongo": mongo_stores}
    async with kinds[_place]() if _place in kinds else sql_stores(_place) as opened:
        yield opened


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.store)])
async def outside(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[OutsideStore]:
    """An empty outside store of each kind."""
    if request.param == "mongo" and (reason := why_no_mongo()):
        pytest.skip(reason)
    async with memory_outside() if request.param == "memory" else mongo_outside() as store:
        yield store
