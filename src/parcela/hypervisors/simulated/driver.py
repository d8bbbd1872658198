"""The simulated driver: thin asyncio calls over the host of a world."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from parcela.core.power import FAULTS
from parcela.hypervisors.errors import VmPausedError
from parcela.hypervisors.simulated.copies import SimulatedCopies
from parcela.hypervisors.simulated.machine import SimVm
from parcela.hypervisors.simulated.power import SimulatedPower
from parcela.hypervisors.simulated.streams import SerialStream, VncStream
from parcela.hypervisors.simulated.vms import SimulatedVms
from parcela.hypervisors.simulated.world import SimulatedWorld
from parcela.hypervisors.spec import (
    Acceleration,
    DriverEvent,
    HostFacts,
    Inventory,
    PowerState,
    SegmentObservation,
    VmObservation,
)


class SimulatedDriver(SimulatedVms, SimulatedPower, SimulatedCopies):
    """One host of a simulated world, seen by one installation. Keeps nothing but its subscriptions."""

    def __init__(self, world: SimulatedWorld, host_name: str, installation: str) -> None:
        """See HostCalls."""
        super().__init__(world, host_name, installation)
        self._subscriptions: set[Callable[[], None]] = set()

    async def probe(self) -> HostFacts:
        """See Driver."""
        async with self._call("probe", self._world.timing.delays.probe_s):
            size = self._host.size
            return HostFacts(
                hypervisor="Parcela simulator 1",
                acceleration=Acceleration.SIMULATED,
                acceleration_reason="VMs of this host are simulated in memory; no guest code runs.",
                vcpus=size.vcpus,
                memory_mib=size.memory_mib,
                disk_gib=size.disk_gib,
                capabilities=size.capabilities,
                obstacle=self._host.obstacle,
                space=self._host.space,
            )

    async def inventory(self) -> Inventory:
        """See Driver."""
        async with self._call("inventory", self._world.timing.delays.inventory_s):
            ours = [vm for vm in tuple(self._host.vms.values()) if vm.installation == self._installation]
            for vm in ours:
                self._host.advance(vm)
            segments = [s.spec for s in tuple(self._host.segments.values()) if s.installation == self._installation]
            return Inventory(
                vms=tuple(_observed(vm) for vm in ours),
                segments=tuple(SegmentObservation(s.uuid, s.slice_uuid, s.kind) for s in segments),
            )

    # ---- Lifetime

    async def open(self) -> None:
        """See Lifetime. There is nothing to connect to."""

    async def aclose(self) -> None:
        """See Lifetime. Subscriptions end; the world goes on."""
        for unsubscribe in tuple(self._subscriptions):
            unsubscribe()

    # ---- VmEvents

    def subscribe(self, callback: Callable[[DriverEvent], None]) -> Callable[[], None]:
        """See VmEvents. Has to be called on the asyncio loop on which events are wanted."""
        loop = asyncio.get_running_loop()

        def deliver(event: DriverEvent) -> None:
            try:
                loop.call_soon_threadsafe(forward, event)
            except RuntimeError:  # the loop was closed without unsubscribing: the control plane was killed
                unsubscribe()

        def forward(event: DriverEvent) -> None:
            if unsubscribe in self._subscriptions:
                callback(event)

        unhook = self._host.subscribe(self._installation, deliver)

        def unsubscribe() -> None:
            unhook()
            self._subscriptions.discard(unsubscribe)

        self._subscriptions.add(unsubscribe)
        return unsubscribe

    # ---- ReadySignals

    async def wait_ready(self, uuid: UUID, marker: str, *, timeout_s: float) -> bool:
        """See ReadySignals."""
        async with self._call("wait_ready", 0.0, uuid):
            vm = self._existing(uuid)
            deadline = self._world.timing.clock() + timeout_s
            while True:
                seen = vm.changed.version
                due_s = self._host.advance(vm)
                self._check_reachable()
                if vm.guest is None:
                    return False
                if vm.reason is not None and vm.reason in FAULTS:
                    raise VmPausedError(f"boot VM {vm.spec.name}", vm.reason)
                if vm.guest.has_printed(marker):
                    return True
                left_s = deadline - self._world.timing.clock()
                if left_s <= 0:
                    return False
                await vm.changed.wait(seen, min(due_s, left_s))

    # ---- consoles

    async def open_serial(self, uuid: UUID) -> SerialStream:
        """See SerialConsoles."""
        async with self._call("open_serial", self._world.timing.delays.console_s, uuid):
            return SerialStream(self._host, self._existing(uuid))

    async def open_vnc(self, uuid: UUID) -> VncStream:
        """See VncConsoles."""
        async with self._call("open_vnc", self._world.timing.delays.console_s, uuid):
            return VncStream(self._host, self._existing(uuid))


def _observed(vm: SimVm) -> VmObservation:
    leases: tuple[tuple[str, str], ...] = ()
    if vm.guest is not None:
        learnt = vm.guest.addresses
        leases = tuple((n.mac, learnt[n.mac].partition("/")[0]) for n in vm.spec.nics if n.dhcp and n.mac in learnt)
    power = vm.power if vm.defined else PowerState.STOPPED
    return VmObservation(vm.spec.uuid, vm.spec.slice_uuid, power, vm.defined, leases, vm.reason if vm.defined else None)
