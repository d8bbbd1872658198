"""VM drift.

Repairs: a row whose observed state is not what the hypervisor says (the QEMU died, somebody used virsh, the guest
switched itself off, the host was rebooted); addresses learnt from DHCP. A crashed VM shows ``error``, or is started
again when its policy says so.

Must not touch: VMs an operation works on; rows that changed after the look at the hypervisor; desired states; anything
on the hypervisor (an operation does that).
"""

from datetime import datetime

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, CrashPolicy, DesiredState, VmState
from parcela.hypervisors.driver import Driver
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import PowerState, VmObservation
from parcela.models import Host, VirtualMachine
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import SYSTEM
from parcela.services.operations.outcomes import settle_slice
from parcela.services.vms import VmService
from parcela.workers.reconcilers.base import DrivenHosts, log

OBSERVED = {
    PowerState.RUNNING: VmState.RUNNING,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.STOPPED: VmState.STOPPED,
    PowerState.CRASHED: VmState.ERROR,
}
UNJUDGED = {VmState.DEFINED.value, VmState.DELETED.value}
CRASHED = "It stopped without being asked to: its QEMU process died."
VANISHED = (
    "It vanished from its host: somebody removed it there. 'start' makes it again, with its disk if that is left."
)


class VmDrift:
    """See the module."""

    name = "vm_drift"

    def __init__(self, uows: UnitOfWorkFactory, hosts: DrivenHosts, vms: VmService) -> None:
        """Take the collaborators."""
        self._uows = uows
        self._hosts = hosts
        self._vms = vms

    async def run(self) -> int:
        """Compare every host once."""
        repairs = 0
        async for host, driver in self._hosts.each():
            repairs += await self._host(host, driver)
        return repairs

    async def _host(self, host: Host, driver: Driver) -> int:
        looked_at = self._uows.clock()
        try:
            inventory = await driver.inventory()
        except DriverError:
            return 0  # the liveness check tells
        seen = {vm.uuid: vm for vm in inventory.vms}
        async with self._uows.read() as uow:
            rows = await uow.vms.on_host(host.id)
        repairs = 0
        for row in rows:
            if row.operation_id is None and row.state not in UNJUDGED and row.updated_at < looked_at:
                repairs += await self._vm(row, seen.get(row.uuid), looked_at)
        return repairs

    async def _vm(self, row: VirtualMachine, seen: VmObservation | None, looked_at: datetime) -> int:
        new, error = judge(VmState(row.state), row.error, seen)
        leases = seen.addresses if seen else ()
        if new.value == row.state and error == row.error:
            return await self._leases(leases) if leases else 0
        async with self._uows.write() as uow:
            if row.slice_id is not None:
                await uow.slices.lock(row.slice_id)  # before its VMs, as everybody does
            fresh = await uow.vms.lock(row.id)
            if fresh.updated_at >= looked_at or fresh.operation_id is not None:
                return 0
            changed = await uow.vms.change_state(
                row.id, new, expected=[VmState(row.state)], operation_id=None, error=error, ready_at=None
            )
            if not changed:
                return 0
            self._tell(uow, row, new, error)
            if row.slice_id is not None:
                await settle_slice(uow, row.slice_id)
            await uow.commit()
        if new is VmState.ERROR and error == CRASHED:
            await self._maybe_restart(row)
        return 1

    async def _leases(self, leases: tuple[tuple[str, str], ...]) -> int:
        async with self._uows.read() as uow:
            known = await uow.segments.leases([mac for mac, _ in leases])
        news = [(mac, address) for mac, address in leases if mac in known and known[mac] != address]
        if not news:
            return 0
        async with self._uows.write() as uow:
            for mac, address in news:
                await uow.segments.set_lease(mac, address)
            await uow.commit()
        return len(news)

    @staticmethod
    def _tell(uow: UnitOfWork, row: VirtualMachine, new: VmState, error: str) -> None:
        uow.add_event(
            "vm.state",
            owner_id=row.owner_id,
            slice_id=row.slice_id,
            vm_id=row.id,
            data={"state": new.value, "error": error, "was": row.state, "noticed": True},
        )

    async def _maybe_restart(self, row: VirtualMachine) -> None:
        if row.crash_policy != CrashPolicy.RESTART or row.desired != DesiredState.RUNNING:
            return
        try:
            async with self._uows.write() as uow:
                await self._vms.act(uow, SYSTEM, row.id, Action.START)
                await uow.commit()
        except ParcelaError as exc:
            log.info("vm_drift.not_restarted", vm_id=row.id, reason=exc.message)


def judge(state: VmState, error: str, seen: VmObservation | None) -> tuple[VmState, str]:
    """(state, error) that a row should show, from what it shows and what the hypervisor has."""
    if seen is None or not seen.defined:
        return VmState.ERROR, VANISHED
    observed = OBSERVED[seen.power]
    if observed is VmState.ERROR:
        return VmState.ERROR, error if state is VmState.ERROR else CRASHED
    if state is VmState.ERROR and observed is VmState.STOPPED:
        return state, error  # a stop does not explain away the error; a start or reset does
    if state is observed:
        return state, error
    return observed, ""
