"""What the inventory asks of SQL, on every kind of database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.machines import PlanTiming
from parcela.db.database import Database
from parcela.models import HostMachine
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.services.inventory.services import Inventory
from parcela.workers.reconcilers.machine_hosts import MachineHosts
from parcela.workers.reconcilers.maintenance_reminders import MaintenanceReminders
from tests.support.clock import Clock
from tests.support.furnish import ADMIN, host_row
from tests.support.lab import lab_settings

pytestmark = pytest.mark.anyio


class Place:
    """An inventory on a database of one's own."""

    def __init__(self, uows: UnitOfWorkFactory, inventory: Inventory) -> None:
        self.uows = uows
        self.inventory = inventory

    async def machine(self, code: str, **facts: Any) -> int:
        async with self.uows.write() as uow:
            made = await self.inventory.machines.create(uow, ADMIN, {"code": code, "type": "PC"} | facts)
            await uow.commit()
        return int(made["id"])

    async def codes(self, sort: str = "id", **wanted: Any) -> list[str]:
        """All pages of two."""
        found: list[str] = []
        cursor = None
        while True:
            async with self.uows.read() as uow:
                page = await self.inventory.machines.page(uow, ADMIN, PageRequest(2, cursor, sort), **wanted)
            found += [row["code"] for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                return found


@pytest.fixture
async def place(any_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    settings = lab_settings(any_lab_url, tmp_path)
    database = Database(settings.resolved_database_url)
    yield Place(UnitOfWorkFactory(database, Clock()), Inventory.build(settings))
    await database.aclose()


async def test_machines_are_found(place: Place) -> None:
    await place.machine("b-1", area="Lab", serial="50%_a", registered_on=date(2029, 1, 1))
    await place.machine("a-1", area="lab", type="Printer", notes="Back\\slash")
    await place.machine("c-1", area="Hall", responsible_id=ADMIN.user_id)
    gone = await place.machine("d-1")
    async with place.uows.write() as uow:
        await place.inventory.machines.archive(uow, ADMIN, gone)
        await uow.commit()
    assert await place.codes(sort="code") == ["A-1", "B-1", "C-1"]
    assert await place.codes(sort="-updated_at", archived=None) == ["D-1", "C-1", "A-1", "B-1"]
    assert await place.codes(area="LAB") == ["B-1", "A-1"]
    assert await place.codes(type="printer") == ["A-1"]
    assert await place.codes(search="0%_A") == ["B-1"]
    assert await place.codes(search="k\\S") == ["A-1"]
    assert await place.codes(search="_") == ["B-1"]
    assert await place.codes(code="c-1", responsible_id=ADMIN.user_id) == ["C-1"]
    assert await place.codes(registered_until=date(2029, 1, 1)) == ["B-1"]
    async with place.uows.read() as uow:
        assert sum((await uow.machines.counts_by("area")).values()) == 3


async def test_two_at_once_cannot_take_one_code(place: Place) -> None:
    async def take(code: str) -> str:
        try:
            await place.machine(code)
        except ParcelaError as exc:
            return exc.code
        return "made"

    assert sorted(await asyncio.gather(take("same"), take("SAME"), take("Same"))) == [
        "machine_exists",
        "machine_exists",
        "made",
    ]


async def test_plans_reminders_and_hosts(place: Place) -> None:
    machine_id = await place.machine("srv")
    today = place.uows.clock().date()
    async with place.uows.write() as uow:
        zone = await uow.zones.by_name("local")
        assert zone is not None
        host = await uow.hosts.add(host_row("h1", zone.id, vcpus=4, memory_mib=4096, disk_gib=100))
        host_id = host.id
        await uow.commit()
    for days, interval in ((-2, None), (3, 5), (90, 5)):
        facts = {"machine_id": machine_id, "title": str(days), "next_due_on": today + timedelta(days=days)}
        async with place.uows.write() as uow:
            await place.inventory.plans.create(uow, ADMIN, facts | {"interval_days": interval})
            await uow.commit()
    for timing, titles in {PlanTiming.OVERDUE: ["-2"], PlanTiming.DUE: ["3"], PlanTiming.UPCOMING: ["90"]}.items():
        async with place.uows.read() as uow:
            request = PageRequest(sort="next_due_on")
            page = await place.inventory.plans.page(uow, ADMIN, request, machine_id=machine_id, timing=timing)
        assert [row["title"] for row in page.rows] == titles
    reminders = MaintenanceReminders(place.uows)
    assert [await reminders.run(), await reminders.run()] == [3, 0]

    hosts = MachineHosts(place.uows)
    assert await hosts.run() == 0
    async with place.uows.write() as uow:
        await uow.machine_hosts.add(HostMachine(host_id=host_id, machine_id=machine_id))
        await uow.commit()
    assert [await hosts.run(), await hosts.run()] == [1, 0]
    async with place.uows.write() as uow:
        assert (await uow.hosts.get(host_id)).state == "maintenance"
        for plan in await uow.maintenance_plans.of_machine(machine_id):
            await uow.maintenance_plans.delete(plan)
        await uow.commit()
    assert [await hosts.run(), await hosts.run()] == [1, 0]
    async with place.uows.read() as uow:
        assert (await uow.hosts.get(host_id)).state == "up"


async def test_a_machine_goes_with_all_that_refers_to_it(place: Place) -> None:
    machine_id = await place.machine("old")
    inventory = place.inventory
    async with place.uows.write() as uow:
        plan, _ = await inventory.plans.create(
            uow, ADMIN, {"machine_id": machine_id, "title": "t", "next_due_on": date(2031, 1, 1)}
        )
        opened = await inventory.plans.open(uow, ADMIN, plan["id"])
        await uow.commit()
    async with place.uows.write() as uow:
        await inventory.maintenance.finish(uow, ADMIN, opened.record.id, changes={})
        await inventory.machines.archive(uow, ADMIN, machine_id)
        await uow.commit()
    async with place.uows.write() as uow:
        await inventory.machines.delete(uow, ADMIN, machine_id)
        await uow.commit()
    assert await place.codes(archived=None) == []
    async with place.uows.read() as uow:
        assert await uow.maintenance.get(opened.record.id) is None
        assert await uow.activity.count() == 0
