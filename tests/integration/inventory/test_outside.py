"""An outside store of maintenance records and the transactions of the database: never half of a change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.db.database import Database
from parcela.repositories.maintenance.external_sync import Outside
from parcela.repositories.maintenance.store import MaintenanceRecord, RecordFilter
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.inventory.services import Inventory
from parcela.workers.reconcilers.maintenance_changes import MaintenanceChanges
from tests.support.clock import Clock
from tests.support.furnish import ADMIN
from tests.support.lab import lab_settings
from tests.support.outside import MemoryActivity, MemoryMaintenance

pytestmark = pytest.mark.anyio


@dataclass
class Place:
    """An installation whose maintenance records are elsewhere."""

    uows: UnitOfWorkFactory
    store: MemoryMaintenance
    log: MemoryActivity
    inventory: Inventory
    clock: Clock
    machine_id: int = 0

    @property
    def sweep(self) -> MaintenanceChanges:
        return MaintenanceChanges(self.uows, Outside(self.store, self.log))

    async def enroll(self) -> None:
        async with self.uows.write() as uow:
            self.machine_id = (await self.inventory.machines.create(uow, ADMIN, {"code": "A", "type": "PC"}))["id"]
            await uow.commit()

    async def open(self, uow: UnitOfWork) -> MaintenanceRecord:
        fields = {"machine_id": self.machine_id, "kind": "corrective"}
        return (await self.inventory.maintenance.create(uow, ADMIN, fields)).record

    async def fail(self, kind: type[Exception], work: Callable[[UnitOfWork], Awaitable[object]]) -> Exception:
        """Run a unit of work that must end with an error."""

        async def run() -> None:
            async with self.uows.write() as uow:
                await work(uow)

        with pytest.raises(kind) as caught:
            await run()
        return caught.value

    async def status(self) -> str:
        async with self.uows.read() as uow:
            return (await uow.machines.get(self.machine_id)).status

    async def seen(self) -> list[str]:
        async with self.uows.read() as uow:
            return [record.notes for record in (await uow.maintenance.page(RecordFilter())).records]


@pytest.fixture
async def place(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    settings, clock = lab_settings(any_lab_url, tmp_path), Clock()
    database = Database(settings.resolved_database_url)
    store, log = MemoryMaintenance(), MemoryActivity()
    uows = UnitOfWorkFactory(database, clock, Outside(store, log))
    made = Place(uows, store, log, Inventory.build(settings), clock)
    await made.enroll()
    yield made
    await database.aclose()


async def test_a_committed_change_is_seen_at_once(place: Place) -> None:
    async with place.uows.write() as uow:
        record = await place.open(uow)
        assert place.store.records == {}
        await uow.commit()
    assert place.store.records == {record.id: record}
    assert place.store.staged == {}
    async with place.uows.write() as uow:
        view = await place.inventory.maintenance.finish(uow, ADMIN, record.id, changes={"notes": "done"})
        await uow.commit()
    assert place.store.records == {record.id: view.record}
    assert await place.status() == "operational"
    async with place.uows.write() as uow:
        await place.inventory.maintenance.delete(uow, ADMIN, record.id)
        await uow.commit()
    assert place.store.records == {}


async def test_a_unit_of_work_that_fails_leaves_nothing(place: Place) -> None:
    async def broken(uow: UnitOfWork) -> None:
        await place.open(uow)
        raise ZeroDivisionError

    await place.fail(ZeroDivisionError, broken)
    async with place.uows.write() as uow:
        await place.open(uow)
        await uow.rollback()
    assert (place.store.records, place.store.staged, await place.status()) == ({}, {}, "operational")


async def test_a_store_that_is_away_refuses_writes_and_nothing_happens(place: Place) -> None:
    place.store.silent = True
    error = await place.fail(ParcelaError, place.open)
    assert isinstance(error, ParcelaError)
    assert error.kind is ErrorKind.UNAVAILABLE
    assert await place.status() == "operational"
    async with place.uows.read() as uow:
        assert await uow.open_maintenance.of_machine(place.machine_id) == []
        assert (await place.inventory.machines.get(uow, ADMIN, place.machine_id))["open_maintenance"] == 0
        assert (await place.inventory.overview.dashboard(uow, ADMIN)).per_month is None
    assert await place.sweep.run() == 0


async def test_a_store_that_goes_away_at_the_confirmation_gets_it_later(place: Place) -> None:
    place.store.confirms = False
    async with place.uows.write() as uow:
        record = await place.open(uow)
        await uow.commit()
    assert await place.status() == "maintenance"
    assert await place.seen() == []
    assert await place.sweep.run() == 0
    place.store.confirms = True
    assert await place.sweep.run() > 0
    assert place.store.records == {record.id: record}
    assert await place.sweep.run() == 0


async def test_what_a_killed_process_staged_is_thrown_away(place: Place) -> None:
    async def killed(uow: UnitOfWork) -> None:
        await place.open(uow)
        place.store.silent = True  # the process is dead: it cannot discard either
        raise ZeroDivisionError

    await place.fail(ZeroDivisionError, killed)
    place.store.silent = False
    assert len(place.store.staged) == 1
    await place.sweep.run()
    assert (place.store.records, place.store.staged) == ({}, {})


async def test_a_commit_whose_answer_got_lost_is_carried_out(place: Place) -> None:
    async def work(uow: UnitOfWork) -> None:
        await place.open(uow)
        commit = uow._session.commit

        async def lost() -> None:
            await commit()
            raise ConnectionAbortedError

        setattr(uow._session, "commit", lost)  # noqa: B010 (mypy: a method is no field)
        await uow.commit()

    await place.fail(ParcelaError, work)
    (record_id,) = place.store.staged
    await place.sweep.run()
    assert list(place.store.records) == [record_id]
    assert await place.status() == "maintenance"


@pytest.mark.parametrize("agreed", [True, False])
async def test_the_next_writer_settles_what_is_left_of_its_record(place: Place, agreed: bool) -> None:
    async with place.uows.write() as uow:
        record = await place.open(uow)
        await uow.commit()
    place.store.confirms = False

    async def first(uow: UnitOfWork) -> None:
        await place.inventory.maintenance.update(uow, ADMIN, record.id, {"notes": "first"})
        if agreed:
            await uow.commit()
        place.store.silent = True
        raise ZeroDivisionError

    await place.fail(ZeroDivisionError, first)
    place.store.silent, place.store.confirms = False, True
    async with place.uows.write() as uow:
        await place.inventory.maintenance.update(uow, ADMIN, record.id, {"company": "Acme"})
        assert place.store.records[record.id].notes == ("first" if agreed else "")
        await uow.commit()
    assert place.store.records[record.id].company == "Acme"
    assert place.store.staged == {}


async def test_a_unit_of_work_that_still_runs_is_left_alone(place: Place) -> None:
    async with place.uows.write() as uow:
        record = await place.open(uow)
        sweep = asyncio.create_task(place.sweep.run())
        # Long enough for a sweep that asks for no lock to throw the change away.
        done, _ = await asyncio.wait({sweep}, timeout=0.3)
        assert not done
        assert list(place.store.staged) == [record.id]
        await uow.commit()
    await sweep
    assert place.store.records == {record.id: record}


async def test_a_record_is_written_once_per_unit_of_work(place: Place) -> None:
    async def twice(uow: UnitOfWork) -> None:
        await uow.maintenance.add(await place.open(uow))

    assert "twice" in str(await place.fail(ValueError, twice))


async def test_activity_is_sent_on_and_never_refuses_a_write(place: Place) -> None:
    place.log.silent = True
    place.clock.turn(1)  # entries of one instant have no order of their own
    async with place.uows.write() as uow:
        await place.inventory.machines.update(uow, ADMIN, place.machine_id, {"notes": "x"})
        await uow.commit()
    assert await place.sweep.run() == 0
    place.log.silent = False
    assert await place.sweep.run() == 2
    assert await place.sweep.run() == 0
    async with place.uows.read() as uow:
        page = await place.inventory.machines.activity(uow, ADMIN, place.machine_id, limit=10, cursor=None)
        assert await uow.waiting_activity.count() == 0
    assert [entry.action for entry in page.entries] == ["machine.changed", "machine.created"]


async def test_notes_of_changes_are_forgotten_when_they_are_of_no_use(place: Place) -> None:
    async with place.uows.write() as uow:
        await place.open(uow)
        await uow.commit()
    place.store.confirms = False
    async with place.uows.write() as uow:
        await place.open(uow)
        await uow.commit()
    place.clock.turn(3601)
    async with place.uows.read() as uow:
        assert len(await uow.maintenance_changes.before(uow.clock())) == 2
    await place.sweep.run()
    async with place.uows.read() as uow:  # the store was away, so nothing is known
        assert len(await uow.maintenance_changes.before(uow.clock())) == 2
    place.store.confirms = True
    await place.sweep.run()
    async with place.uows.read() as uow:
        assert await uow.maintenance_changes.before(uow.clock()) == []
    assert len(await place.seen()) == 2
