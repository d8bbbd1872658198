"""Machines that are hypervisors: maintenance on one keeps VMs away from the other.

``settle`` looks at what there is (open maintenance, plans whose day has come, VMs on the host) and brings the host in
line. It is called by whatever changes one of them, and by a reconciler; doing it twice changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parcela.core.errors import Problem, conflict, invalid
from parcela.core.lifecycle import HostState
from parcela.core.machines import MachineStatus
from parcela.models import Host, HostMachine, Machine, MaintenancePlan, OpenMaintenance
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.rules import note, refuse_archived, today


@dataclass(frozen=True, slots=True)
class VmInTheWay:
    """A VM on a host that is being emptied."""

    id: int
    name: str
    state: str
    owner_id: int


@dataclass(frozen=True, slots=True)
class HostView:
    """The host that a machine is, as maintenance sees it.

    Attributes:
        state: ``draining`` while VMs are on it, ``maintenance`` when it is empty or the work has begun.
        drained: whether maintenance keeps VMs away from it; it goes back to ``up`` by itself then.
        vms: what is on it; their owners were told when the drain began.
    """

    id: int
    name: str
    state: HostState
    drained: bool
    vms: Sequence[VmInTheWay]


async def view(uow: ReadUnitOfWork, machine_id: int) -> HostView | None:
    """The host of a machine, or None."""
    binding = await uow.machine_hosts.of_machine(machine_id)
    if binding is None:
        return None
    return await _view(uow, await uow.hosts.get(binding.host_id), binding)


async def _view(uow: ReadUnitOfWork, host: Host, binding: HostMachine) -> HostView:
    vms = [VmInTheWay(**row) for row in await uow.machine_hosts.vms_in_the_way(host.id)]
    return HostView(host.id, host.name, HostState(host.state), binding.drained_at is not None, vms)


async def settle(uow: UnitOfWork, caller: Caller, machine: Machine) -> HostView | None:
    """Bring the host of a locked machine in line with its maintenance; the host, or None when it is none."""
    binding = await uow.machine_hosts.of_machine(machine.id)
    if binding is None:
        return None
    opened, plans = await _reasons(uow, machine.id)
    host = await uow.hosts.lock(binding.host_id)
    seen = await _view(uow, host, binding)
    if not opened and not plans:
        await _put_back(uow, caller, machine, host, binding)
    else:
        if binding.drained_at is None and host.state == HostState.UP.value:
            await _drain(uow, caller, machine, host, binding, seen.vms)
        begun = any(one.begun_at is not None for one in opened)
        if binding.drained_at is not None and host.state == HostState.DRAINING.value and (begun or not seen.vms):
            await _change(uow, caller, machine, host, HostState.MAINTENANCE)
    await uow.flush()  # others read the host's state in this unit of work
    return HostView(host.id, host.name, HostState(host.state), binding.drained_at is not None, seen.vms)


async def _reasons(uow: ReadUnitOfWork, machine_id: int) -> tuple[list[OpenMaintenance], list[MaintenancePlan]]:
    """What keeps VMs away: open maintenance, and plans whose drain has begun."""
    opened = await uow.open_maintenance.of_machine(machine_id)
    machine = await uow.machines.get(machine_id)
    if machine.archived_at is not None or machine.status == MachineStatus.RETIRED.value:
        return opened, []  # its plans rest
    plans = await uow.maintenance_plans.of_machine(machine_id, active=True)
    return opened, [plan for plan in plans if plan.drain_on is None or plan.drain_on <= today(uow)]


async def _drain(
    uow: UnitOfWork, caller: Caller, machine: Machine, host: Host, binding: HostMachine, vms: Sequence[VmInTheWay]
) -> None:
    binding.drained_at = uow.clock()
    await _change(uow, caller, machine, host, HostState.DRAINING, vms=[vm.id for vm in vms])
    for owner_id in sorted({vm.owner_id for vm in vms}):
        mine = [{"id": vm.id, "name": vm.name} for vm in vms if vm.owner_id == owner_id]
        data: dict[str, Any] = {"host": host.name, "machine": machine.code, "vms": mine}
        uow.add_event("host.drain_notice", actor_id=caller.user_id or None, owner_id=owner_id, data=data)


async def _put_back(uow: UnitOfWork, caller: Caller, machine: Machine, host: Host, binding: HostMachine) -> None:
    """Only what was drained for maintenance, and only when nobody has decided otherwise meanwhile."""
    if binding.drained_at is None:
        return
    binding.drained_at = None
    if host.state in {HostState.DRAINING.value, HostState.MAINTENANCE.value}:
        await _change(uow, caller, machine, host, HostState.UP)


async def _change(
    uow: UnitOfWork, caller: Caller, machine: Machine, host: Host, state: HostState, **facts: Any
) -> None:
    before, host.state = host.state, state.value
    facts |= {"host_id": host.id, "host": host.name, "state": state.value, "state_before": before}
    await note(uow, caller, f"host.{'returned' if state is HostState.UP else state.value}", machine, **facts)


async def lock_for_binding(uow: UnitOfWork, host_id: int | None, machine_id: int | None) -> None:
    """Lock the machine a host is and the one it shall be, before anybody locks the host: that is the order of all."""
    binding = await uow.machine_hosts.get_or_none(host_id) if host_id is not None else None
    wanted = {machine_id, binding.machine_id if binding else None}
    for one in sorted(number for number in wanted if number is not None):
        await uow.machines.lock_if_any(one)


async def bind(uow: UnitOfWork, caller: Caller, host_id: int, machine_id: int | None) -> None:
    """Say which machine a host is, or (None) that it is none; after ``lock_for_binding``.

    Raises:
        ParcelaError: ``invalid`` ``unknown_machine``; ``conflict`` ``machine_is_a_host`` or ``machine_archived``.
    """
    binding = await uow.machine_hosts.get_or_none(host_id)
    before = binding.machine_id if binding else None
    if before == machine_id:
        return
    new = None if machine_id is None else _bindable(await uow.machines.get_or_none(machine_id), machine_id)
    if binding is not None:
        old = await uow.machines.get(binding.machine_id)
        await _put_back(uow, caller, old, await uow.hosts.lock(host_id), binding)
        await note(uow, caller, "machine.unbound", old, host_id=host_id)
        await uow.machine_hosts.delete(binding)
    if new is not None:
        await uow.machine_hosts.add(HostMachine(host_id=host_id, machine_id=new.id))
        await note(uow, caller, "machine.bound", new, host_id=host_id)
        await settle(uow, caller, new)


def _bindable(machine: Machine | None, machine_id: int) -> Machine:
    if machine is None:
        text = f"There is no machine {machine_id}."
        raise invalid("unknown_machine", text, Problem("machine_id", text, "unknown_machine"))
    refuse_archived(machine)
    return machine


async def refuse_up_while_maintained(uow: ReadUnitOfWork, host: Host) -> None:
    """Raise when a host is to take VMs although its machine is being worked on."""
    binding = await uow.machine_hosts.get_or_none(host.id)
    if binding is None:
        return
    opened, plans = await _reasons(uow, binding.machine_id)
    if opened or plans:
        problems = [Problem(f"maintenance-records[{one.record_id}]", "It is open.", "open") for one in opened]
        problems += [Problem(f"maintenance-plans[{plan.id}]", f"'{plan.title}' is due.", "due") for plan in plans]
        text = f"The machine of the host {host.name} is in maintenance; finish that, and the host is up again."
        raise conflict("host_in_maintenance", text, *problems)
