"""The stores on which the contract of maintenance and activity is checked, behind one face."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from parcela.db.database import Database
from parcela.repositories.maintenance.mongo import MongoActivityStore, MongoMaintenanceStore
from parcela.repositories.maintenance.store import ActivityStore, MaintenanceStore, OutsideStore
from parcela.repositories.uow import UnitOfWorkFactory
from tests.support.mongo import mongo_database
from tests.support.outside import MemoryActivity, MemoryMaintenance


@dataclass(frozen=True)
class Stores:
    """Both stores of one kind."""

    records: MaintenanceStore
    activity: ActivityStore


Opened = Callable[[], AbstractAsyncContextManager[Stores]]
"""Opens the stores once; what was written is there for the next one who opens them."""


@asynccontextmanager
async def sql_stores(url: str) -> AsyncIterator[Opened]:
    """Tables of a migrated database; every opening is a unit of work."""
    database = Database(url)
    uows = UnitOfWorkFactory(database)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Stores]:
        async with uows.write() as uow:
            yield Stores(uow.maintenance, uow.activity)
            await uow.commit()

    try:
        yield opened
    finally:
        await database.aclose()


@asynccontextmanager
async def memory_stores() -> AsyncIterator[Opened]:
    """The fake that other tests use."""
    stores = Stores(MemoryMaintenance(), MemoryActivity())

    @asynccontextmanager
    async def opened() -> AsyncIterator[Stores]:
        yield stores

    yield opened


@asynccontextmanager
async def mongo_stores() -> AsyncIterator[Opened]:
    """A fresh database of the lab's MongoDB."""
    async with mongo_database() as mongo:
        stores = Stores(MongoMaintenanceStore(mongo), MongoActivityStore(mongo))
        await mongo.start()

        @asynccontextmanager
        async def opened() -> AsyncIterator[Stores]:
            yield stores

        yield opened


@asynccontextmanager
async def mongo_outside() -> AsyncIterator[OutsideStore]:
    """The same as an outside store."""
    async with mongo_database() as mongo:
        store = MongoMaintenanceStore(mongo)
        await mongo.start()
        yield store


@asynccontextmanager
async def memory_outside() -> AsyncIterator[OutsideStore]:
    """The fake as an outside store."""
    yield MemoryMaintenance()
