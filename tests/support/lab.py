"""A test installation: a database, a world, a clock, and control planes that come and go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from parcela.core.settings import Settings
from parcela.hypervisors.simulated import Delays, SimulatedWorld
from parcela.models import Operation, Slice, VirtualMachine
from parcela.services.access import Caller
from parcela.services.compute.slices import SliceOrder
from parcela.services.compute.vm_orders import VmOrder
from tests.support.clock import Clock
from tests.support.furnish import ALICE, TEMPLATE_IDS, ZONE, host_row
from tests.support.stack import Stack, start_stack

LEASE_S = 30.0


@dataclass
class Lab:
    """What outlives a control plane, and the one that runs now."""

    settings: Settings
    world: SimulatedWorld = field(default_factory=lambda: SimulatedWorld(delays=Delays.none()))
    clock: Clock = field(default_factory=Clock)
    stacks: list[Stack] = field(default_factory=list)
    names: dict[UUID, str] = field(default_factory=dict)
    powerless: bool = False  # whether a host ever lost its power

    @property
    def stack(self) -> Stack:
        """The newest control plane."""
        return self.stacks[-1]

    async def start(self, **options: Any) -> Stack:
        """Start another control plane on the same database and the same world."""
        self.stacks.append(await start_stack(self.settings, self.world, self.clock, **options))
        return self.stack

    async def kill(self) -> None:
        """Kill the newest control plane."""
        await self.stack.kill()
        self.stacks.pop()

    async def restart(self) -> Stack:
        """Kill it, let its leases run out, start another one and let it finish everything."""
        await self.kill()
        self.world.faults.clear()
        self.clock.turn(LEASE_S + 1)
        stack = await self.start()
        await stack.settle()
        return stack

    async def aclose(self) -> None:
        """End what still runs."""
        self.world.faults.clear()
        while self.stacks:
            await self.kill()

    async def add_host(self, name: str, *, vcpus: int = 64, memory_mib: int = 65536, disk_gib: int = 1000) -> None:
        """Add a host to the world and to the database (before the first start, or followed by a round)."""
        self.world.add_host(name, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)
        async with self.stack.uows.write() as uow:
            zone = await uow.zones.by_name(ZONE)
            assert zone is not None
            await uow.hosts.add(host_row(name, zone.id, vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib))
            await uow.commit()

    # ---- rows

    async def slice(self, slice_id: int) -> Slice:
        async with self.stack.uows.read() as uow:
            return await uow.slices.get(slice_id)

    async def vms(self, slice_id: int) -> dict[str, VirtualMachine]:
        """Living VMs of a slice, by name."""
        async with self.stack.uows.read() as uow:
            return {vm.name: vm for vm in await uow.vms.of_slice(slice_id)}

    async def vm(self, vm_id: int) -> VirtualMachine:
        async with self.stack.uows.read() as uow:
            return await uow.vms.get(vm_id)


async def make_slice(lab: Lab, template: str = "pair", *, caller: Caller = ALICE, **order: Any) -> int:
    """A draft; its id."""
    async with lab.stack.uows.write() as uow:
        made = await lab.stack.services.slices.create(
            uow, caller, SliceOrder(template_id=TEMPLATE_IDS[template], **order)
        )
        await uow.commit()
    for vm in (await lab.vms(made.id)).values():
        lab.names[vm.uuid] = vm.name
    async with lab.stack.uows.read() as uow:
        lab.names.update({segment.uuid: segment.name for segment in await uow.segments.all()})
    return made.id


async def deploy(lab: Lab, slice_id: int, *, caller: Caller = ALICE, paused: bool = False) -> Operation:
    """Ask for a deployment; it has only been asked for."""
    async with lab.stack.uows.write() as uow:
        operation = await lab.stack.services.slices.deploy(uow, caller, slice_id, paused=paused)
        await uow.commit()
    return operation


async def make_running_slice(lab: Lab, template: str = "pair", **order: Any) -> int:
    """A slice that runs; its id."""
    slice_id = await make_slice(lab, template, **order)
    await deploy(lab, slice_id, caller=order.get("caller", ALICE))
    await lab.stack.settle()
    assert (await lab.slice(slice_id)).state == "running"
    return slice_id


async def make_vm(lab: Lab, name: str = "alone", *, caller: Caller = ALICE, **order: Any) -> tuple[int, Operation]:
    """Ask for a stand-alone VM; its id and the operation."""
    wanted = VmOrder(name=name, os="tiny", flavour="tiny", **order)
    async with lab.stack.uows.write() as uow:
        vm, operation = await lab.stack.services.vms.create(uow, caller, wanted)
        await uow.commit()
    lab.names[vm.uuid] = vm.name
    async with lab.stack.uows.read() as uow:
        lab.names.update({segment.uuid: segment.name for segment in await uow.segments.all()})
    return vm.id, operation


async def make_running_vm(lab: Lab, name: str = "alone", **order: Any) -> int:
    """A stand-alone VM that runs; its id."""
    vm_id, _ = await make_vm(lab, name, **order)
    await lab.stack.settle()
    assert (await lab.vm(vm_id)).state == "running"
    return vm_id


def lab_settings(url: str, folder: Path) -> Settings:
    """Settings of an installation whose reconcilers run only when they are told to."""
    return Settings(
        _env_file=None,
        PARCELA_DATA_DIR=folder / "data",
        DATABASE_URL=url,
        PARCELA_HYPERVISOR="simulated",
        PARCELA_GUEST_DIR=folder / "no-guest",
        PARCELA_SECRET_KEY="k" * 40,
        PARCELA_TIME_ZONE="UTC",
        PARCELA_SWEEP_INTERVAL_S=3600,
        PARCELA_LEASE_TTL_S=LEASE_S,
    )


@asynccontextmanager
async def open_lab(url: str, folder: Path, *, hosts: int = 1, **host: int) -> AsyncIterator[Lab]:
    """A started installation with hosts ``h1`` and so on."""
    lab = Lab(lab_settings(url, folder))
    try:
        await lab.start()
        for number in range(1, hosts + 1):
            await lab.add_host(f"h{number}", **host)
        await lab.stack.round()
        yield lab
    finally:
        await lab.aclose()
