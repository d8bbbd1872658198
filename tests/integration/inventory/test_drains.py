"""Machines that are hosts: maintenance and virtual machines, on simulated hosts."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.lifecycle import HostState
from parcela.services.inventory.machine_hosts import HostView
from parcela.services.inventory.maintenance import RecordView
from tests.support.furnish import ADMIN, ALICE, ALICE_ID, BOB
from tests.support.lab import Lab, make_running_vm, make_vm, open_lab

pytestmark = pytest.mark.anyio
CODES = {"h1": "SRV-1", "h2": "SRV-2"}


class Rack:
    """Two hosts, each of them a machine of the inventory."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.inventory = lab.stack.services.inventory
        self.machines: dict[str, int] = {}

    async def enroll(self) -> None:
        async with self.lab.stack.uows.write() as uow:
            for host_name, code in CODES.items():
                machine = await self.inventory.machines.create(uow, ADMIN, {"code": code, "type": "server"})
                self.machines[host_name] = machine["id"]
            await uow.commit()
        for host_name, code in CODES.items():
            bound = await self.bind(host_name, self.machines[host_name])
            assert (bound["machine_id"], bound["machine_code"]) == (self.machines[host_name], code)

    async def bind(self, host_name: str, machine_id: int | None) -> dict[str, Any]:
        return await self.change(host_name, machine_id=machine_id)

    async def change(self, host_name: str, **changes: Any) -> dict[str, Any]:
        async with self.lab.stack.uows.write() as uow:
            host = await uow.hosts.by_name(host_name)
            assert host is not None
            bound = await self.lab.stack.services.hosts.update(uow, ADMIN, host.id, changes)
            await uow.commit()
        return bound

    async def state(self, host_name: str) -> str:
        async with self.lab.stack.uows.read() as uow:
            host = await uow.hosts.by_name(host_name)
        assert host is not None
        return host.state

    async def open(self, host_name: str, kind: str = "corrective", **facts: Any) -> RecordView:
        fields = {"machine_id": self.machines[host_name], "kind": kind} | facts
        async with self.lab.stack.uows.write() as uow:
            view = await self.inventory.maintenance.create(uow, ADMIN, fields)
            await uow.commit()
        return view

    async def begin(self, view: RecordView) -> RecordView:
        async with self.lab.stack.uows.write() as uow:
            view = await self.inventory.maintenance.begin(uow, ADMIN, view.record.id)
            await uow.commit()
        return view

    async def finish(self, view: RecordView) -> RecordView:
        async with self.lab.stack.uows.write() as uow:
            view = await self.inventory.maintenance.finish(uow, ADMIN, view.record.id, changes={})
            await uow.commit()
        return view

    async def plan(self, host_name: str, days: int, **facts: Any) -> HostView:
        due = self.today + timedelta(days=days)
        fields = {"machine_id": self.machines[host_name], "title": "fans", "next_due_on": due} | facts
        async with self.lab.stack.uows.write() as uow:
            _, host = await self.inventory.plans.create(uow, ADMIN, fields)
            await uow.commit()
        assert host is not None
        return host

    @property
    def today(self) -> date:
        return self.lab.clock().date()

    async def set_state(self, host_name: str, state: HostState) -> None:
        async with self.lab.stack.uows.write() as uow:
            host = await uow.hosts.by_name(host_name)
            assert host is not None
            await self.lab.stack.services.hosts.update(uow, ADMIN, host.id, {"state": state.value})
            await uow.commit()

    async def host_of(self, vm_id: int) -> str:
        vm = await self.lab.vm(vm_id)
        assert vm.host_id is not None
        async with self.lab.stack.uows.read() as uow:
            return (await uow.hosts.get(vm.host_id)).name

    async def delete_vm(self, vm_id: int) -> None:
        async with self.lab.stack.uows.write() as uow:
            await self.lab.stack.services.vms.destroy(uow, ADMIN, vm_id)
            await uow.commit()
        await self.lab.stack.settle()

    async def events(self, event_type: str) -> list[Any]:
        async with self.lab.stack.uows.read() as uow:
            return await uow.events.since(0, limit=1000, types=[event_type])


@pytest.fixture
async def rack(sqlite_lab_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Rack]:
    async with open_lab(sqlite_lab_url, tmp_path, hosts=2) as lab:
        rack = Rack(lab)
        await rack.enroll()
        yield rack


async def test_an_empty_host_goes_into_maintenance_at_once_and_comes_back(rack: Rack) -> None:
    view = await rack.open("h1")
    assert view.host is not None
    assert (view.host.state, view.host.drained, list(view.host.vms)) == (HostState.MAINTENANCE, True, [])
    assert await rack.state("h1") == "maintenance"
    done = await rack.finish(view)
    assert done.host is not None
    assert (done.host.state, done.host.drained) == (HostState.UP, False)
    assert [event.data["state"] for event in await rack.events("host.returned")] == ["up"]


async def test_owners_are_told_and_the_host_empties_itself(rack: Rack) -> None:
    mine = await make_running_vm(rack.lab, "mine")
    where = await rack.host_of(mine)
    await rack.set_state("h2" if where == "h1" else "h1", HostState.DRAINING)
    others = await make_running_vm(rack.lab, "others", caller=BOB)
    view = await rack.open(where, "preventive")
    assert view.host is not None
    assert view.host.state is HostState.DRAINING
    assert [(vm.id, vm.name, vm.state) for vm in view.host.vms] == [
        (mine, "mine", "running"),
        (others, "others", "running"),
    ]
    notices = {event.owner_id: event.data for event in await rack.events("host.drain_notice")}
    assert {owner: [vm["name"] for vm in data["vms"]] for owner, data in notices.items()} == {
        ALICE_ID: ["mine"],
        BOB.user_id: ["others"],
    }
    assert notices[ALICE_ID]["machine"] == CODES[where]

    await rack.delete_vm(mine)
    await rack.lab.stack.round()
    assert await rack.state(where) == "draining"
    await rack.delete_vm(others)
    assert (await rack.lab.stack.round())["machine_hosts"] == 1
    assert await rack.state(where) == "maintenance"
    assert (await rack.lab.stack.round())["machine_hosts"] == 0
    await rack.finish(view)
    assert await rack.state(where) == "up"


async def test_the_begin_of_the_work_does_not_wait_for_the_vms(rack: Rack) -> None:
    vm_id = await make_running_vm(rack.lab)
    where = await rack.host_of(vm_id)
    view = await rack.open(where, "preventive")
    assert await rack.state(where) == "draining"
    begun = await rack.begin(view)
    assert begun.host is not None
    assert (begun.host.state, len(begun.host.vms)) == (HostState.MAINTENANCE, 1)
    await rack.finish(view)
    assert await rack.state(where) == "up"


@pytest.mark.parametrize("kind", ["preventive", "corrective"])
async def test_a_drained_host_gets_no_new_vms(rack: Rack, kind: str) -> None:
    await rack.open("h1", kind)
    for name in ("one", "two", "three"):
        assert await rack.host_of(await make_running_vm(rack.lab, name)) == "h2"
    await rack.open("h2", kind)
    with pytest.raises(ParcelaError) as caught:
        await make_vm(rack.lab, "four", caller=ALICE)
    assert caught.value.kind is ErrorKind.NO_CAPACITY


async def test_a_host_under_repair_is_never_chosen_whatever_its_state_says(rack: Rack) -> None:
    await rack.open("h1")
    await rack.open("h2")
    async with rack.lab.stack.uows.write() as uow:  # what no service does
        for name in CODES:
            host = await uow.hosts.by_name(name)
            assert host is not None
            host.state = HostState.UP.value
        await uow.commit()
    with pytest.raises(ParcelaError) as caught:
        await make_vm(rack.lab, "four")
    assert caught.value.kind is ErrorKind.NO_CAPACITY
    assert "h1 has open corrective maintenance" in caught.value.message


async def test_a_host_is_not_put_up_by_hand_while_its_machine_is_worked_on(rack: Rack) -> None:
    view = await rack.open("h1")
    with pytest.raises(ParcelaError) as caught:
        await rack.set_state("h1", HostState.UP)
    assert caught.value.code == "host_in_maintenance"
    assert view.record.id in caught.value.problems[0].where
    assert await rack.state("h1") == "maintenance"


async def test_naming_the_machine_again_is_no_way_around_its_maintenance(rack: Rack) -> None:
    await rack.open("h1")
    with pytest.raises(ParcelaError) as caught:
        await rack.change("h1", state=HostState.UP.value, machine_id=rack.machines["h1"])
    assert caught.value.code == "host_in_maintenance"
    assert await rack.state("h1") == "maintenance"


@pytest.mark.parametrize(("sent", "state"), [("maintenance", "up"), ("down", "down")])
async def test_a_state_that_is_only_sent_back_is_no_wish(rack: Rack, sent: str, state: str) -> None:
    await rack.open("h1")
    assert (await rack.change("h1", state=sent, machine_id=None))["state"] == state


@pytest.mark.parametrize("state", [HostState.DRAINING, HostState.MAINTENANCE, HostState.DOWN])
async def test_what_somebody_else_took_out_of_service_is_not_put_back(rack: Rack, state: HostState) -> None:
    await rack.set_state("h1", state)
    view = await rack.open("h1")
    assert view.host is not None
    assert (view.host.state, view.host.drained) == (state, False)
    await rack.finish(view)
    await rack.lab.stack.round()
    assert await rack.state("h1") == state.value


async def test_a_host_that_went_down_meanwhile_stays_down(rack: Rack) -> None:
    view = await rack.open("h1")
    await rack.set_state("h1", HostState.DOWN)
    await rack.finish(view)
    assert await rack.state("h1") == "down"


async def test_the_host_comes_back_with_the_last_record(rack: Rack) -> None:
    first, second = await rack.open("h1"), await rack.open("h1", "preventive")
    await rack.finish(first)
    assert await rack.state("h1") == "maintenance"
    async with rack.lab.stack.uows.write() as uow:
        await rack.inventory.maintenance.delete(uow, ADMIN, second.record.id)
        await uow.commit()
    assert await rack.state("h1") == "up"


async def test_planning_drains_at_once_what_is_planned_once(rack: Rack) -> None:
    vm_id = await make_running_vm(rack.lab)
    where = await rack.host_of(vm_id)
    host = await rack.plan(where, 30)
    assert (host.state, [vm.id for vm in host.vms]) == (HostState.DRAINING, [vm_id])
    async with rack.lab.stack.uows.write() as uow:
        (plan,) = await uow.maintenance_plans.of_machine(rack.machines[where])
        opened = await rack.inventory.plans.open(uow, ADMIN, plan.id)
        await uow.commit()
    await rack.begin(opened)
    assert await rack.state(where) == "maintenance"
    await rack.finish(opened)
    assert await rack.state(where) == "up"


async def test_a_recurring_plan_drains_before_each_date(rack: Rack) -> None:
    host = await rack.plan("h1", 10, interval_days=10)
    assert host.state is HostState.UP
    rack.lab.clock.turn(timedelta(days=8).total_seconds())
    assert (await rack.lab.stack.round())["machine_hosts"] == 0
    rack.lab.clock.turn(timedelta(days=1).total_seconds())
    assert (await rack.lab.stack.round())["machine_hosts"] == 1
    assert await rack.state("h1") == "maintenance"
    async with rack.lab.stack.uows.write() as uow:
        (plan,) = await uow.maintenance_plans.of_machine(rack.machines["h1"])
        opened = await rack.inventory.plans.open(uow, ADMIN, plan.id)
        await uow.commit()
    await rack.finish(opened)
    assert await rack.state("h1") == "up"
    assert (await rack.lab.stack.round())["machine_hosts"] == 0


async def test_calling_a_plan_off_puts_the_host_back(rack: Rack) -> None:
    await rack.plan("h1", 3)
    assert await rack.state("h1") == "maintenance"
    async with rack.lab.stack.uows.write() as uow:
        (plan,) = await uow.maintenance_plans.of_machine(rack.machines["h1"])
        await rack.inventory.plans.update(uow, ADMIN, plan.id, {"active": False})
        await uow.commit()
    assert await rack.state("h1") == "up"


async def test_a_machine_is_one_host_and_can_be_taken_out(rack: Rack) -> None:
    with pytest.raises(ParcelaError) as caught:
        await rack.bind("h2", rack.machines["h1"])
    assert caught.value.code == "machine_is_a_host"
    async with rack.lab.stack.uows.write() as uow:
        with pytest.raises(ParcelaError) as caught:
            await rack.inventory.machines.archive(uow, ADMIN, rack.machines["h1"])
    assert caught.value.code == "machine_is_a_host"
    await rack.open("h1")
    freed = await rack.bind("h1", None)
    assert (freed["machine_id"], freed["state"]) == (None, "up")
    assert (await rack.bind("h1", rack.machines["h1"]))["state"] == "maintenance"


async def test_placement_loses_against_a_drain_that_was_faster(rack: Rack) -> None:
    """The choice was made before the drain and the reservation comes after it."""
    async with rack.lab.stack.uows.write() as uow:
        host = await uow.hosts.by_name("h1")
        assert host is not None
        host.state = HostState.DRAINING.value
        await uow.flush()  # as another unit of work would have committed it
        assert not await uow.hosts.try_reserve(host.id, [], only_up=True)
        assert await uow.hosts.try_reserve(host.id, [])
