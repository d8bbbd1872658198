"""VM drift.

Repairs: a row whose observed state is not what the hypervisor says (the QEMU died, somebody used virsh, the guest
switched itself off, the host was rebooted, QEMU paused it because its disk is full), and the reason of it; addresses
learnt from DHCP. A crashed VM shows ``error``, or is started again when its policy says so.

Must not touch: VMs an operation works on; rows that changed after the look at the hypervisor; desired states; anything
on the hypervisor (an operation does that).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, CrashPolicy, DesiredState, VmState
from parcela.core.power import DISK_FAULTS, FAULTS, fault_of
from parcela.hypervisors.driver import Driver
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.spec import PowerState, VmObservation
from parcela.models import Host
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.repositories.vms import Judged
from parcela.services.access import SYSTEM
from parcela.services.compute.vms import VmService
from parcela.services.operations.outcomes import settle_slice
from parcela.workers.reconcilers.base import PAGE_ROWS, DrivenHosts, log

OBSERVED = {
    PowerState.RUNNING: VmState.RUNNING,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.STOPPED: VmState.STOPPED,
    PowerState.CRASHED: VmState.ERROR,
}
CRASHED = "It stopped without being asked to: its QEMU process died."
VANISHED = (
    "It vanished from its host: somebody removed it there. 'start' makes it again, with its disk if that is left."
)


class Judgement(NamedTuple):
    """What a row should show; ``reason`` is a ``PowerReason``, or ""."""

    state: VmState
    error: str
    reason: str = ""


class VmDrift:
    """See the module."""

    name = "vm_drift"

    def __init__(
        self, uows: UnitOfWorkFactory, hosts: DrivenHosts, vms: VmService, *, page_rows: int = PAGE_ROWS
    ) -> None:
        """Take the collaborators; ``page_rows``: how many rows are read at a time."""
        self._page_rows = page_rows
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
        repairs, last_id = 0, 0
        while True:
            async with self._uows.read() as uow:
                rows = await uow.vms.to_judge(host.id, looked_at, after_id=last_id, limit=self._page_rows)
            repairs += await self._page(rows, seen, looked_at)
            if len(rows) < self._page_rows:
                return repairs
            last_id = rows[-1].id

    async def _page(self, rows: Sequence[Judged], seen: Mapping[UUID, VmObservation], looked_at: datetime) -> int:
        repairs = 0
        leases: list[tuple[str, str]] = []
        for row in rows:
            found = seen.get(row.uuid)
            new = judge(VmState(row.state), row.error, row.status_reason, found)
            if new != (row.state, row.error, row.status_reason):
                repairs += await self._change(row, new, looked_at)
            elif found is not None:
                leases += found.addresses
        return repairs + (await self._leases(leases) if leases else 0)

    async def _change(self, row: Judged, judgement: Judgement, looked_at: datetime) -> int:
        new, error, reason = judgement
        async with self._uows.write() as uow:
            if row.slice_id is not None:
                await uow.slices.lock(row.slice_id)  # before its VMs, as everybody does
            fresh = await uow.vms.lock(row.id)
            if fresh.updated_at >= looked_at or fresh.operation_id is not None:
                return 0
            changed = await uow.vms.change_state(
                row.id, new, expected=[VmState(row.state)], operation_id=None, error=error, reason=reason, ready_at=None
            )
            if not changed:
                return 0
            self._tell(uow, row, judgement)
            if row.slice_id is not None:
                await settle_slice(uow, row.slice_id)
            await uow.commit()
        if new is VmState.ERROR and error == CRASHED:
            await self._maybe_restart(row)
        return 1

    async def _leases(self, leases: Sequence[tuple[str, str]]) -> int:
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
    def _tell(uow: UnitOfWork, row: Judged, judgement: Judgement) -> None:
        facts = {"owner_id": row.owner_id, "slice_id": row.slice_id, "vm_id": row.id}
        new, error, reason = judgement
        if reason in DISK_FAULTS and reason != row.status_reason:
            uow.add_event("vm.io_error", data={"reason": reason, "error": error}, **facts)
        data = {"state": new.value, "error": error, "was": row.state, "noticed": True}
        uow.add_event("vm.state", data=data | ({"reason": reason} if reason else {}), **facts)

    async def _maybe_restart(self, row: Judged) -> None:
        if row.crash_policy != CrashPolicy.RESTART or row.desired != DesiredState.RUNNING:
            return
        try:
            async with self._uows.write() as uow:
                await self._vms.act(uow, SYSTEM, row.id, Action.START)
                await uow.commit()
        except ParcelaError as exc:
            log.info("vm_drift.not_restarted", vm_id=row.id, reason=exc.message)


def judge(state: VmState, error: str, reason: str, seen: VmObservation | None) -> Judgement:
    """What a row should show, from what it shows (state, error, reason) and what the hypervisor has."""
    if seen is None or not seen.defined:
        return Judgement(VmState.ERROR, VANISHED)
    observed = OBSERVED[seen.power]
    if observed is VmState.ERROR:
        return Judgement(VmState.ERROR, error if state is VmState.ERROR else CRASHED)
    if state is VmState.ERROR and observed is VmState.STOPPED:
        return Judgement(state, error, reason)  # a stop does not explain away the error; a start or reset does
    fault = fault_of(seen.reason)
    if fault and seen.reason is not None:
        return Judgement(observed, fault, seen.reason.value)
    if state is observed and reason not in FAULTS:
        # Whether it was our operation or a hand that paused it is told by who changed the row: nothing to correct.
        return Judgement(state, error, reason)
    return Judgement(observed, "", seen.reason.value if seen.reason is not None else "")
