"""Orphan sweep.

Repairs: domains, disks, seeds, networks and bridges on hosts that carry this installation's mark though no row (or no
row of that host) stands for them any more; the host's NAT network when nobody uses it.

Must not touch: anything without this installation's mark (drivers never show it); VMs that an operation works on, or
that were changed after the look at the hypervisor; segments of slices that are built or being built.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from parcela.hypervisors.driver import Driver
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import Inventory, SegmentKind
from parcela.models import Host
from parcela.repositories.uow import UnitOfWorkFactory
from parcela.workers.reconcilers.base import PAGE_ROWS, DrivenHosts, log, pages


class OrphanSweep:
    """See the module."""

    name = "orphan_sweep"

    def __init__(self, uows: UnitOfWorkFactory, hosts: DrivenHosts, *, page_rows: int = PAGE_ROWS) -> None:
        """Take the collaborators; ``page_rows``: how many things of a host are looked up at a time."""
        self._page_rows = page_rows
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
        # can never get one. Only what was seen is looked up: a host has few of all VMs.
        repairs = 0
        for seen in pages([vm.uuid for vm in inventory.vms], self._page_rows):
            repairs += await self._remove_vms(host, driver, await self._orphans(host, seen))
        nat = [segment.uuid for segment in inventory.segments if segment.kind is SegmentKind.NAT]
        unused = nat if nat and not await self._needs_nat(host) else []
        for segments in pages([s.uuid for s in inventory.segments if s.kind is not SegmentKind.NAT], self._page_rows):
            async with self._uows.read() as uow:
                living = await uow.segments.living_among(segments)
            unused += [uuid for uuid in segments if uuid not in living]
        for uuid in unused:
            repairs += await self._remove_segment(host, driver, uuid)
        return repairs

    async def _orphans(self, host: Host, seen: Sequence[UUID]) -> list[UUID]:
        async with self._uows.read() as uow:
            rows = await uow.vms.placed(seen)
        return [
            uuid
            for uuid in seen
            if uuid not in rows or (rows[uuid].host_id != host.id and rows[uuid].operation_id is None)
        ]

    async def _needs_nat(self, host: Host) -> bool:
        async with self._uows.read() as uow:
            nat = await uow.segments.nat()
            users = await uow.segments.nat_users(nat.id, host.id) if nat else 0
            return bool(users) or await uow.operations.active_on_host(host.id)

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
