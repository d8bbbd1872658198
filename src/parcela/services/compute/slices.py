"""Slices: made from a template version, deployed, acted on, destroyed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from parcela.core.errors import Problem, invalid, not_found
from parcela.core.lifecycle import Action, CrashPolicy, DesiredState, SliceState, VmState
from parcela.core.permissions import Permission
from parcela.core.settings import Settings
from parcela.core.topology.expand import PlannedVm, expand
from parcela.models import Operation, Slice, VirtualMachine
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller, check_visible
from parcela.services.allowed_compute import ALLOWED, EXTEND, SliceFacts, slice_facts
from parcela.services.checks import Check, unchecked
from parcela.services.compute.placement import place, resolve_zone
from parcela.services.compute.segments import check_nat_overlap, lay_segments, plug
from parcela.services.compute.templates import TemplateService
from parcela.services.operations import plans
from parcela.services.operations.operations import OperationService
from parcela.services.operations.planning import plan_vms
from parcela.services.projects.launching import check_build, check_launch
from parcela.services.projects.quotas import limits_for
from parcela.services.quota_rules import ceiling, require_room

MAX_TTL_S = 30 * 86400
"""Longest life of a slice of a non-administrator, in seconds from now."""

MEANWHILE: Mapping[Action, SliceState | None] = {
    Action.START: SliceState.STARTING,
    Action.STOP: SliceState.STOPPING,
    Action.RESET: SliceState.STARTING,
    Action.REBOOT: None,
    Action.SUSPEND: None,
    Action.RESUME: None,
}
WANTED: Mapping[Action, DesiredState] = {
    Action.START: DesiredState.RUNNING,
    Action.STOP: DesiredState.STOPPED,
    Action.RESET: DesiredState.RUNNING,
    Action.REBOOT: DesiredState.RUNNING,
    Action.SUSPEND: DesiredState.PAUSED,
    Action.RESUME: DesiredState.RUNNING,
}


class _Begun(NamedTuple):
    """A slice that is being changed."""

    row: Slice
    vms: list[VirtualMachine]


@dataclass(frozen=True, slots=True)
class SliceOrder:
    """What somebody wants a slice to be.

    Attributes:
        template_id: template to copy.
        template_version: None for the newest.
        name: None for the template's name.
        zone: name of the zone; None for the first one.
        expires_in_s: seconds of life; None for the default (administrators: none).
        crash_policy: what happens when a VM's QEMU dies.
        project_id: project it is made in and counted by; None for the caller alone.
    """

    template_id: int
    template_version: int | None = None
    name: str | None = None
    zone: str | None = None
    expires_in_s: int | None = None
    crash_policy: CrashPolicy = CrashPolicy.ERROR
    project_id: int | None = None


class SliceService:
    """Business rules of slices. A ``check`` sees the locked slice, as ``details`` gives it, before it is changed."""

    def __init__(self, settings: Settings, operations: OperationService, templates: TemplateService) -> None:
        """Take the collaborators."""
        self._settings = settings
        self._operations = operations
        self._templates = templates

    async def check_create(self, uow: UnitOfWork, caller: Caller, order: SliceOrder) -> Mapping[str, Any]:
        """The template; raises when the caller may not make slices, not in this project, or not of this template."""
        caller.require(Permission.SLICE_CREATE)
        await check_launch(uow, caller, order.project_id)
        return await self._templates.get(uow, caller, order.template_id)

    async def create(self, uow: UnitOfWork, caller: Caller, order: SliceOrder) -> Slice:
        """Copy a template version into a draft: rows only, nothing on any host."""
        template = await self.check_create(uow, caller, order)
        await self._require_room(uow, caller)
        number = order.template_version or template["version"]
        document, catalogue = await self._templates.launchable(uow, caller, order.template_id, number)
        zone = await resolve_zone(uow, order.zone)
        plan = expand(document, catalogue)
        now = uow.clock()
        row = await uow.slices.add(
            Slice(
                uuid=uuid4(),
                name=order.name or template["name"],
                owner_id=caller.user_id,
                project_id=order.project_id,
                zone_id=zone.id,
                template_id=order.template_id,
                template_version=number,
                state=SliceState.DRAFT.value,
                crash_policy=order.crash_policy.value,
                expires_at=self._expiry(caller, order.expires_in_s, uow),
                created_at=now,
                updated_at=now,
            )
        )
        segments = await lay_segments(uow, row.id, plan)
        vms = [(await uow.vms.add(_vm_row(row, planned, uow)), planned) for planned in plan.vms]
        await plug(uow, vms, segments)
        uow.add_event(
            "slice.created",
            owner_id=row.owner_id,
            actor_id=caller.user_id,
            slice_id=row.id,
            data={"name": row.name, "template_id": order.template_id, "template_version": number},
        )
        return row

    async def _require_room(self, uow: UnitOfWork, caller: Caller) -> None:
        await uow.users.lock(caller.user_id)  # two at the same time would both be the last one
        used, most = await uow.slices.count_of(caller.user_id), self._settings.quota_existing_slices
        require_room("existing_slices", "slices that exist", used=used, more=1, most=ceiling(caller, most))

    def _expiry(self, caller: Caller, expires_in_s: int | None, uow: UnitOfWork) -> datetime | None:
        unlimited = caller.can(Permission.SLICE_WRITE_ALL)
        if expires_in_s is None:
            return None if unlimited else uow.clock() + timedelta(seconds=self._settings.slice_ttl_s)
        if not unlimited and expires_in_s > MAX_TTL_S:
            text = f"A slice may live at most {MAX_TTL_S} seconds from now."
            raise invalid("expiry_too_long", text, Problem("body.expires_in_s", text, "expiry_too_long"))
        return uow.clock() + timedelta(seconds=expires_in_s)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, slice_id: int) -> Slice:
        """A slice the caller may see."""
        row = await uow.slices.get_or_none(slice_id)
        if row is None:
            raise not_found("slice", slice_id)
        read_all = Permission.SLICE_READ_ALL
        check_visible(caller, row.owner_id, read_all, "slice", slice_id, project_id=row.project_id)
        return row

    async def details(self, uow: ReadUnitOfWork, caller: Caller, slice_id: int) -> Mapping[str, Any]:
        """A slice as a row of the list (names of owner, zone and template), with its ``allowed_actions``."""
        allowed = await self.allowed(uow, caller, slice_id)
        row = (await uow.slices.page(PageRequest(limit=1), slice_id=slice_id, include_destroyed=True)).rows[0]
        return {**row, "allowed_actions": allowed}

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        state: SliceState | None = None,
        template_id: int | None = None,
        project_id: int | None = None,
        name: str | None = None,
    ) -> Page:
        """Slices the caller may see; destroyed ones only when asked for by state."""
        return await uow.slices.page(
            request,
            owner_id=caller.list_filter(Permission.SLICE_READ_ALL),
            managed=caller.managed,
            project_id=project_id,
            state=state.value if state else None,
            template_id=template_id,
            name=name,
        )

    async def own(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """The caller's own slices alone, whatever else they may see, without those that are being destroyed."""
        caller.list_filter(Permission.SLICE_READ_ALL)  # a token that reaches no slices is refused
        return await uow.slices.page(request, owner_id=caller.user_id, without=(SliceState.DESTROYING,))

    async def allowed(self, uow: ReadUnitOfWork, caller: Caller, slice_id: int) -> tuple[str, ...]:
        """What the caller may do with a slice now."""
        return ALLOWED.of(caller, await slice_facts(uow, await self.get(uow, caller, slice_id)))

    async def check(self, uow: ReadUnitOfWork, caller: Caller, slice_id: int, action: str) -> None:
        """Raise what the caller would get who asked for an action now; nothing is changed or locked."""
        ALLOWED.check(caller, await slice_facts(uow, await self.get(uow, caller, slice_id)), action)

    @staticmethod
    async def _check_right(uow: UnitOfWork, caller: Caller, slice_id: int, action: str) -> None:
        """Whether the caller may do this in some state. Before the lock: strangers hold up nobody."""
        row = await uow.slices.get_or_none(slice_id)
        if row is None:
            raise not_found("slice", slice_id)
        ALLOWED.check_right(caller, SliceFacts.of(row), action)

    async def _begin(
        self, uow: UnitOfWork, caller: Caller, slice_id: int, action: str, check: Check = unchecked
    ) -> _Begun:
        """The locked slice and its VMs, once the action is allowed; nobody else changes either until the end."""
        await self._check_right(uow, caller, slice_id, action)
        row = await uow.slices.lock(slice_id)
        if check is not unchecked:
            check(await self.details(uow, caller, slice_id))
        vms = await uow.vms.of_slice(slice_id)
        ALLOWED.check(caller, SliceFacts.of(row, vms), action)
        return _Begun(row, vms)

    async def deploy(
        self, uow: UnitOfWork, caller: Caller, slice_id: int, *, paused: bool = False, check: Check = unchecked
    ) -> Operation:
        """Reserve capacity for all VMs of a draft and build it; a failure undoes everything."""
        row, vms = await self._begin(uow, caller, slice_id, Action.DEPLOY.value, check)
        await check_build(uow, caller, row.project_id, Permission.SLICE_WRITE_ALL)
        await check_nat_overlap(uow, [vm.id for vm in vms], self._settings.nat_networks)
        _, _, needs = await plan_vms(uow, vms)
        hosts = await place(uow, row.zone_id, vms, needs, limits_for(self._settings, caller, row.project_id))
        planned, names, _ = await plan_vms(uow, vms, hosts)
        wanted = DesiredState.PAUSED if paused else DesiredState.RUNNING
        await uow.vms.update_fields([vm.id for vm in vms], desired=wanted.value, error="")
        return await self._operations.open(
            uow,
            caller,
            "slice.deploy",
            plans.deploy(planned, names, paused=paused),
            owner_id=row.owner_id,
            slice_row=row,
            slice_to=SliceState.DEPLOYING,
            vms=vms,
            undo_on_failure=True,
        )

    async def act(
        self,
        uow: UnitOfWork,
        caller: Caller,
        slice_id: int,
        action: Action,
        check: Check = unchecked,
        *,
        force: bool = False,
    ) -> Operation:
        """Start, stop (``force``: without asking the guests), reboot, suspend, resume or reset the VMs of a slice."""
        row, everyone = await self._begin(uow, caller, slice_id, action.value, check)
        touched = {vm.id for vm in SliceFacts.of(row, everyone).touched(action)}
        vms = [vm for vm in everyone if vm.id in touched]
        await uow.vms.update_fields([vm.id for vm in vms], desired=WANTED[action].value)
        planned, names, _ = await plan_vms(uow, vms)
        broken = {vm.id for vm in vms if vm.state == VmState.ERROR.value}
        return await self._operations.open(
            uow,
            caller,
            f"slice.{action.value}",
            plans.act(action, planned, broken, names, force=force),
            owner_id=row.owner_id,
            slice_row=row,
            slice_to=MEANWHILE[action],
            vms=vms,
        )

    async def destroy(self, uow: UnitOfWork, caller: Caller, slice_id: int, check: Check = unchecked) -> Operation:
        """Remove everything of a slice from all hosts and give its capacity back.

        What is under way is cancelled, and the destruction begins when that has ended. Asked for again, the answer is
        the same operation.
        """
        await self._check_right(uow, caller, slice_id, Action.DESTROY.value)
        await self._operations.make_way(uow, caller, slice_id=slice_id)
        row, everyone = await self._begin(uow, caller, slice_id, Action.DESTROY.value, check)
        going_on = await uow.operations.destruction(slice_id=slice_id)
        if going_on is not None:
            return going_on
        if row.operation_id is not None or any(vm.operation_id is not None for vm in everyone):
            return await self._operations.open_waiting(uow, caller, slice_row=row)
        placed = [vm for vm in everyone if vm.host_id is not None]
        planned, names, _ = await plan_vms(uow, placed)
        await uow.vms.update_fields([vm.id for vm in everyone], desired=DesiredState.DELETED.value)
        return await self._operations.open(
            uow,
            caller,
            "slice.destroy",
            plans.destroy(planned, names),
            owner_id=row.owner_id,
            slice_row=row,
            slice_to=SliceState.DESTROYING,
            vms=everyone,
        )

    async def extend(
        self,
        uow: UnitOfWork,
        caller: Caller,
        slice_id: int,
        expires_in_s: int | None,
        check: Check = unchecked,
    ) -> Slice:
        """Set a new end of life, counted from now; None takes the default."""
        row, _ = await self._begin(uow, caller, slice_id, EXTEND, check)
        row.expires_at = self._expiry(caller, expires_in_s, uow)
        row.updated_at = uow.clock()
        row.generation += 1
        expires_at = row.expires_at.isoformat() if row.expires_at else None
        uow.add_event(
            "slice.extended",
            owner_id=row.owner_id,
            actor_id=caller.user_id,
            slice_id=row.id,
            data={"expires_at": expires_at},
        )
        await uow.flush()  # the answer shows the stored row
        return row

    async def vms(self, uow: ReadUnitOfWork, caller: Caller, slice_id: int) -> Sequence[VirtualMachine]:
        """The VMs of a slice the caller may see."""
        await self.get(uow, caller, slice_id)
        return await uow.vms.of_slice(slice_id)


def _vm_row(slice_row: Slice, planned: PlannedVm, uow: UnitOfWork) -> VirtualMachine:
    now = uow.clock()
    return VirtualMachine(
        uuid=uuid4(),
        name=planned.name,
        label=planned.label,
        slice_id=slice_row.id,
        owner_id=slice_row.owner_id,
        project_id=slice_row.project_id,
        zone_id=slice_row.zone_id,
        image_id=planned.image_id,
        flavour_id=planned.flavour_id,
        cores=planned.vcpus,
        memory_mib=planned.memory_mib,
        disk_gib=planned.disk_gib,
        state=VmState.DEFINED.value,
        desired=DesiredState.DEFINED.value,
        crash_policy=slice_row.crash_policy,
        user_data=planned.user_data,
        guest={
            "ssh_keys": list(planned.ssh_keys),
            "gateway": planned.gateway,
            "routes": [list(route) for route in planned.routes],
            "dns": list(planned.dns),
            "forward": planned.forward,
        },
        created_at=now,
        updated_at=now,
    )
