"""Virtual machines: those of slices, and those that stand alone, with the same engine underneath."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack
from uuid import uuid4

from parcela.core.errors import ErrorKind, ParcelaError, Problem, conflict, invalid, not_found
from parcela.core.labels import checked_label, tidy
from parcela.core.lifecycle import Action, CrashPolicy, DesiredState, VmState
from parcela.core.permissions import Permission
from parcela.core.settings import Settings
from parcela.models import Nic, Operation, Segment, VirtualMachine
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.repositories.vms import VmFilters
from parcela.services.access import Caller, check_visible
from parcela.services.allowed_compute import ALLOWED, VmFacts, vm_facts
from parcela.services.catalogue.snapshot import load_catalogue
from parcela.services.checks import Check, unchecked
from parcela.services.compute.placement import place, resolve_zone
from parcela.services.compute.segments import plug
from parcela.services.compute.slices import WANTED
from parcela.services.compute.vm_orders import VmOrder, named, plan_order
from parcela.services.operations import plans
from parcela.services.operations.operations import OperationService
from parcela.services.operations.planning import plan_vms
from parcela.services.projects.launching import check_build, check_launch
from parcela.services.projects.quotas import limits_for, resize
from parcela.services.quota_rules import ceiling, require_room


@dataclass(frozen=True, slots=True)
class VmChange:
    """What may be changed of a VM; None leaves a value, and "" takes the label away."""

    name: str | None = None
    label: str | None = None
    cores: int | None = None
    ram: int | None = None
    disk: int | None = None
    crash_policy: CrashPolicy | None = None


@dataclass(frozen=True, slots=True)
class SentBack:
    """What clients send back as they have read it, with what they change; None where they do not."""

    os: str | None = None
    owner_id: int | None = None
    status: VmState | None = None


OFF = frozenset({VmState.STOPPED, VmState.DEFINED})
"""States in which name and sizes can be changed."""
STATUS_ACTIONS: Mapping[VmState, Action] = {VmState.RUNNING: Action.START, VmState.STOPPED: Action.STOP}


class VmService:
    """Business rules of VMs. A ``check`` sees the locked VM, as ``details`` gives it, before it is changed."""

    def __init__(self, settings: Settings, operations: OperationService) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._operations = operations

    @staticmethod
    async def check_create(uow: UnitOfWork, caller: Caller, project_id: int | None) -> None:
        """Raise when the caller may not make VMs, or not in this project."""
        caller.require(Permission.VM_CREATE)
        await check_launch(uow, caller, project_id)

    async def create(self, uow: UnitOfWork, caller: Caller, order: VmOrder) -> tuple[VirtualMachine, Operation]:
        """Reserve capacity for a stand-alone VM and have it built and booted; a failure undoes everything."""
        vm = await self._add(uow, caller, order, DesiredState.RUNNING)
        return vm, await self._deploy(uow, caller, vm)

    async def define(self, uow: UnitOfWork, caller: Caller, order: VmOrder) -> VirtualMachine:
        """A stand-alone VM that is not built before its first start; until then it occupies no host.

        Quotas count what has a place on a host. Rows alone are bounded here, by the same number.
        """
        await uow.users.lock(caller.user_id)  # one after the other, or two would both find the last place
        used = len(await uow.vms.names_of_owner(caller.user_id))
        require_room("vms", "VMs", used=used, more=1, most=ceiling(caller, self._settings.quota_vms))
        return await self._add(uow, caller, order, DesiredState.STOPPED)

    async def _add(self, uow: UnitOfWork, caller: Caller, order: VmOrder, desired: DesiredState) -> VirtualMachine:
        await self.check_create(uow, caller, order.project_id)
        zone = await resolve_zone(uow, order.zone)
        order = await named(uow, caller, order)
        planned = plan_order(order, await load_catalogue(uow, caller))
        now = uow.clock()
        vm = await uow.vms.add(
            VirtualMachine(
                uuid=uuid4(),
                name=planned.name,
                label=order.label,
                owner_id=caller.user_id,
                project_id=order.project_id,
                zone_id=zone.id,
                image_id=planned.image_id,
                flavour_id=planned.flavour_id,
                cores=planned.vcpus,
                memory_mib=planned.memory_mib,
                disk_gib=planned.disk_gib,
                state=VmState.DEFINED.value,
                desired=desired.value,
                crash_policy=order.crash_policy.value,
                user_data=planned.user_data,
                guest={"ssh_keys": list(planned.ssh_keys), "routes": [], "dns": [], "forward": False},
                created_at=now,
                updated_at=now,
            )
        )
        await plug(uow, [(vm, planned)], {})
        data = {"name": vm.name, "label": vm.label}
        uow.add_event("vm.created", owner_id=vm.owner_id, actor_id=caller.user_id, vm_id=vm.id, data=data)
        return vm

    async def _deploy(self, uow: UnitOfWork, caller: Caller, vm: VirtualMachine) -> Operation:
        await check_build(uow, caller, vm.project_id, Permission.VM_WRITE_ALL)
        _, _, needs = await plan_vms(uow, [vm])
        limits = limits_for(self._settings, caller, vm.project_id)
        hosts = await place(uow, vm.zone_id, [vm], needs, limits)
        planned, names, _ = await plan_vms(uow, [vm], hosts)
        return await self._operations.open(
            uow,
            caller,
            "vm.deploy",
            plans.deploy(planned, names),
            owner_id=vm.owner_id,
            vms=[vm],
            undo_on_failure=True,
        )

    async def get(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> Mapping[str, Any]:
        """A VM the caller may see, as a row of the list."""
        rows = (await uow.vms.page(PageRequest(limit=1), vm_id=vm_id)).rows
        if not rows:
            raise not_found("virtual machine", vm_id)
        row, read_all = rows[0], Permission.VM_READ_ALL
        check_visible(caller, row["owner_id"], read_all, "virtual machine", vm_id, project_id=row["project_id"])
        return rows[0]

    async def nics(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> list[tuple[Nic, Segment | None]]:
        """The network cards of a VM the caller may see, in guest order."""
        await self.get(uow, caller, vm_id)
        return await uow.segments.nics_of([vm_id])

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        state: VmState | None = None,
        staying: bool = False,
        **filters: Unpack[VmFilters],
    ) -> Page:
        """VMs the caller may see; ``staying``: without those that are being deleted."""
        if (label := filters.get("label")) is not None:
            filters["label"] = tidy(label)
        return await uow.vms.page(
            request,
            owner_id=caller.list_filter(Permission.VM_READ_ALL),
            managed=caller.managed,
            state=state.value if state else None,
            staying=staying,
            **filters,
        )

    async def allowed(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> tuple[str, ...]:
        """What the caller may do with a VM now."""
        return ALLOWED.of(caller, await vm_facts(uow, await uow.vms.get(vm_id)))

    async def details(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> Mapping[str, Any]:
        """A VM as ``get`` gives it, with its ``allowed_actions``."""
        row = await self.get(uow, caller, vm_id)
        return {**row, "allowed_actions": await self.allowed(uow, caller, vm_id)}

    async def check(self, uow: ReadUnitOfWork, caller: Caller, vm_id: int, action: str) -> None:
        """Raise what the caller would get who asked for an action now; nothing is changed or locked."""
        ALLOWED.check(caller, await vm_facts(uow, await uow.vms.get(vm_id)), action)

    @staticmethod
    async def _check_right(uow: UnitOfWork, caller: Caller, vm_id: int, action: str) -> VirtualMachine:
        """Whether the caller may do this in some state. Before the lock: strangers hold up nobody."""
        row = await uow.vms.get_or_none(vm_id)
        if row is None:
            raise not_found("virtual machine", vm_id)
        ALLOWED.check_right(caller, VmFacts.of(row), action)
        return row

    async def _lock(
        self, uow: UnitOfWork, caller: Caller, vm_id: int, action: str, check: Check = unchecked
    ) -> VirtualMachine:
        """The VM, locked, for somebody with the right to change it so."""
        row = await self._check_right(uow, caller, vm_id, action)
        if row.slice_id is not None:
            # Before its VMs, as operations on slices do: else they wait in a circle.
            await uow.slices.lock(row.slice_id)
        row = await uow.vms.lock(vm_id)
        if check is not unchecked:
            check(await self.details(uow, caller, vm_id))
        return row

    async def act(
        self,
        uow: UnitOfWork,
        caller: Caller,
        vm_id: int,
        action: Action,
        check: Check = unchecked,
        *,
        force: bool = False,
    ) -> Operation:
        """Start, stop (``force``: without asking the guest), reboot, suspend, resume or reset one VM."""
        vm = await self._lock(uow, caller, vm_id, action.value, check)
        ALLOWED.check(caller, await vm_facts(uow, vm), action.value)
        if vm.state == VmState.DEFINED.value:  # it stands alone and is started for the first time
            await uow.vms.update_fields([vm.id], desired=DesiredState.RUNNING.value, error="")
            return await self._deploy(uow, caller, vm)
        await uow.vms.update_fields([vm.id], desired=WANTED[action].value)
        planned, names, _ = await plan_vms(uow, [vm])
        broken = {vm.id} if vm.state == VmState.ERROR.value else set()
        steps = plans.act(action, planned, broken, names, force=force)
        return await self._operations.open(uow, caller, f"vm.{action.value}", steps, owner_id=vm.owner_id, vms=[vm])

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        vm_id: int,
        change: VmChange,
        power: Action | None = None,
    ) -> tuple[VirtualMachine, Operation | None]:
        """Change a VM: its label and policy at any time, name and sizes only when it is off and free.

        Args:
            uow: unit of work.
            caller: who asks.
            vm_id: which VM.
            change: what is to be different.
            power: ``START`` (after it) or ``STOP`` (before it), as a part of the same operation. Where there is none,
                because nothing on a host is changed, it is left to the caller.

        Returns:
            (row, operation that changes the definition on the host, or None when there is nothing to do there).

        Raises:
            ParcelaError: kind ``conflict`` naming the fields that need a stop; ``no_capacity``.
        """
        vm = await self._lock(uow, caller, vm_id, Action.UPDATE.value)
        sizes = {"cores": change.cores, "memory_mib": change.ram, "disk_gib": change.disk}
        wanted: dict[str, int | str | None] = {**sizes, "name": change.name}
        changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(vm, key)}
        if changed:
            _check_change(caller, await vm_facts(uow, vm), changed, power)
        image = await uow.images.get(vm.image_id)
        _check_disk(vm, change, image.min_disk_gib)
        policy = change.crash_policy.value if change.crash_policy else vm.crash_policy
        label = vm.label if change.label is None else checked_label(change.label)
        if not changed and (policy, label) == (vm.crash_policy, vm.label):
            return vm, None
        before = {key: getattr(vm, key) for key in changed}
        told = changed if label == vm.label else {**changed, "label": label}
        await uow.vms.update_fields([vm.id], crash_policy=policy, label=label, **changed)
        vm = await uow.vms.lock(vm.id)
        if changed and vm.host_id is not None:
            await self._reserve_both(uow, caller, vm, vm.host_id, before)
        operation = None
        if changed and vm.state != VmState.DEFINED.value:
            if power is not None:
                await uow.vms.update_fields([vm.id], desired=WANTED[power].value)
            planned, _, _ = await plan_vms(uow, [vm])
            steps = plans.change(planned[0], before, power)
            operation = await self._operations.open(uow, caller, "vm.update", steps, owner_id=vm.owner_id, vms=[vm])
        uow.add_event(
            "vm.changed", owner_id=vm.owner_id, actor_id=caller.user_id, vm_id=vm.id, slice_id=vm.slice_id, data=told
        )
        return vm, operation

    async def replace(
        self,
        uow: UnitOfWork,
        caller: Caller,
        vm_id: int,
        change: VmChange,
        sent: SentBack,
        check: Check = unchecked,
    ) -> None:
        """Change a VM as ``update`` does; another ``status`` starts it afterwards or stops it before.

        All of it is one operation: two of one request would be in each other's way.

        Raises:
            ParcelaError: kind ``invalid`` for another os or owner, and for a status that nobody can ask for.
        """
        await self._lock(uow, caller, vm_id, Action.UPDATE.value, check)
        seen = await self.get(uow, caller, vm_id)
        for field, value in (("os", sent.os), ("owner_id", sent.owner_id)):
            if value not in {None, seen[field]}:
                raise _fixed(field, f"The {field} of a VM is fixed; make a new VM.")
        action = None
        if sent.status not in {None, VmState(seen["state"])}:
            action = STATUS_ACTIONS.get(VmState(str(sent.status)))
            if action is None:
                raise _fixed("status", "The status can be set to running or stopped, which starts or stops the VM.")
        _, operation = await self.update(uow, caller, vm_id, change, action)
        if action is not None and operation is None:
            await self.act(uow, caller, vm_id, action)

    async def _reserve_both(
        self, uow: UnitOfWork, caller: Caller, vm: VirtualMachine, host_id: int, before: Mapping[str, Any]
    ) -> None:
        """Reserve the larger of what it has and what it gets, until the operation has ended either way."""
        columns = {"vcpus": "cores", "memory_mib": "memory_mib", "disk_gib": "disk_gib"}
        most = {name: max(getattr(vm, column), before.get(column, 0)) for name, column in columns.items()}
        if any(getattr(vm, column) > before.get(column, getattr(vm, column)) for column in columns.values()):
            await check_build(uow, caller, vm.project_id, Permission.VM_WRITE_ALL)
        if not await resize(uow, vm.id, host_id, most, limits_for(self._settings, caller, vm.project_id)):
            host = await uow.hosts.lock(host_id)
            free = (
                f"{host.vcpus_limit - host.used_vcpus} vCPUs, {host.memory_limit_mib - host.used_memory_mib} MiB and "
                f"{host.disk_limit_gib - host.used_disk_gib} GiB"
            )
            raise _no_room(host.name, free)

    async def destroy(self, uow: UnitOfWork, caller: Caller, vm_id: int, check: Check = unchecked) -> Operation:
        """Remove a stand-alone VM; VMs of slices go with their slice.

        What is under way is cancelled, and the destruction begins when that has ended. Asked for again, the answer is
        the same operation.
        """
        seen = await self._check_right(uow, caller, vm_id, Action.DESTROY.value)
        ALLOWED.check(caller, VmFacts.of(seen), Action.DESTROY.value)  # one of a slice keeps what works on it
        await self._operations.make_way(uow, caller, vm_id=vm_id)
        vm = await self._lock(uow, caller, vm_id, Action.DESTROY.value, check)
        ALLOWED.check(caller, VmFacts.of(vm), Action.DESTROY.value)
        going_on = await uow.operations.destruction(vm_id=vm_id)
        if going_on is not None:
            return going_on
        if vm.operation_id is not None:
            return await self._operations.open_waiting(uow, caller, vm=vm)
        planned, names, _ = await plan_vms(uow, [vm])
        await uow.vms.update_fields([vm.id], desired=DesiredState.DELETED.value)
        steps = plans.destroy(planned, names) if vm.host_id is not None else []
        return await self._operations.open(uow, caller, "vm.destroy", steps, owner_id=vm.owner_id, vms=[vm])


def _check_change(caller: Caller, vm: VmFacts, changed: Mapping[str, object], power: Action | None) -> None:
    """Whether name or sizes can be changed now, and what is asked besides can be done in the same operation."""
    vm.check_free()
    if power is Action.STOP and vm.state not in OFF:
        ALLOWED.check(caller, vm, Action.STOP.value)  # it is off when the change comes
        return
    _check_off(vm, changed)  # the same as below, but it names the fields
    ALLOWED.check(caller, vm, Action.UPDATE.value)
    if power is not None:
        ALLOWED.check(caller, vm, power.value)


def _check_off(vm: VmFacts, changed: Mapping[str, object]) -> None:
    if vm.state in OFF:
        return
    names = {"memory_mib": "ram", "disk_gib": "disk"}
    problems = [
        Problem(f"body.{names.get(key, key)}", "Can be changed only when the VM is stopped.", "needs_stop")
        for key in changed
    ]
    raise conflict("vm_must_be_stopped", f"The VM is {vm.state}; stop it first to change this.", *problems)


def _fixed(field: str, text: str) -> ParcelaError:
    return invalid(f"{field}_fixed", text, Problem(f"body.{field}", text, f"{field}_fixed"))


def _check_disk(vm: VirtualMachine, change: VmChange, min_disk_gib: int) -> None:
    if change.disk is None:
        return
    least = max(min_disk_gib, vm.disk_gib if vm.state != VmState.DEFINED.value else 1)
    if change.disk < least:
        text = f"A disk can only grow; this one has at least {least} GiB."
        raise invalid("disk_too_small", text, Problem("body.disk", text, "disk_too_small"))


def _no_room(host: str, free: str) -> ParcelaError:
    sentence = f"The VM does not fit on its host {host} any more; without it, the host has {free} free."
    return ParcelaError(ErrorKind.NO_CAPACITY, "no_capacity", sentence)
