"""Orphan sweep.

Repairs: domains, disks, seeds, networks and bridges on hosts that carry this installation's mark though no row (or no
row of that host) stands for them any more; the host's NAT network when nobody uses it.

Must not touch: anything without this installation's mark (drivers never show it); VMs that an operation works on, or
that were changed after the look at the hypervisor; segments of slices that are built or being built.
"""

from collections.abc import Iterable
from uuid import UUID

from parcela.hypervisors.driver import Driver
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import Inventory, SegmentKind
from parcela.models import Host
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import DrivenHosts, log


class OrphanSweep:
    """See the module."""

    name = "orphan_sweep"

    def __init__(self, uows: UnitOfWorkFactory, hosts: DrivenHosts) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._hosts = hosts

    async def run(self) -> int:
        """Sweep every host once."""
        repairs = 0
        async for host, driver in self._hosts.each():
            try:
                inventory = await driver.inventory()
            except DriverError:
                continue
            repairs += await self._sweep(host, driver, inventory)
        return repairs

    async def _sweep(self, host: Host, driver: Driver, inventory: Inventory) -> int:
        # Rows are written before anything is made on a host, so what was seen *before* these reads and has no row now
        # can never get one.
        async with self._uows.read() as uow:
            rows = {vm.uuid: vm for vm in await uow.vms.living()}
            segments = await uow.segments.living_uuids()
            nat = await uow.segments.nat()
            nat_users = await uow.segments.nat_users(nat.id, host.id) if nat else 0
            busy = await uow.operations.active_on_host(host.id)
        orphans = [
            vm.uuid
            for vm in inventory.vms
            if vm.uuid not in rows or (rows[vm.uuid].host_id != host.id and rows[vm.uuid].operation_id is None)
        ]
        repairs = await self._remove_vms(host, driver, orphans)
        for segment in inventory.segments:
            unused_nat = segment.kind is SegmentKind.NAT and not nat_users and not busy
            gone = segment.uuid not in segments if segment.kind is not SegmentKind.NAT else unused_nat
            if gone:
                repairs += await self._remove_segment(host, driver, segment.uuid)
        return repairs

    async def _remove_vms(self, host: Host, driver: Driver, orphans: Iterable[UUID]) -> int:
        removed = 0
        for uuid in orphans:
            try:
                await driver.remove_vm(uuid)
            except DriverError as exc:
                log.warning("orphan.kept", host=host.name, vm=str(uuid), reason=exc.message, internal=exc.internal)
                continue
            removed += 1
            await self._tell(host, "vm", uuid)
        return removed

    async def _remove_segment(self, host: Host, driver: Driver, uuid: UUID) -> int:
        try:
            await driver.remove_segment(uuid)
        except DriverError as exc:
            log.warning("orphan.kept", host=host.name, segment=str(uuid), reason=exc.message, internal=exc.internal)
            return 0
        await self._tell(host, "segment", uuid)
        return 1

    async def _tell(self, host: Host, what: str, uuid: UUID) -> None:
        log.info("orphan.removed", host=host.name, what=what, uuid=str(uuid))
        async with self._uows.write() as uow:
            uow.add_event("host.orphan_removed", data={"host": host.name, "what": what, "uuid": str(uuid)})
            await uow.commit()
