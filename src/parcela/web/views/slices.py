"""A slice as its page shows it: gathered from the services in one place, so that endpoints stay short."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import Action, SliceState, VmState
from parcela.core.topology.document import (
    NetworkEnd,
    TemplateEdge,
    TemplateNetwork,
    TemplateVm,
    TopologyDocument,
    VmEnd,
    parse_document,
)
from parcela.models import VirtualMachine
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.allowed_compute import EXTEND
from parcela.services.container import Services
from parcela.web.i18n.catalogue import Translator
from parcela.web.rendering import duration
from parcela.web.views.drawing import Drawing, draw
from parcela.web.views.machines import Machine, Wiring, split, view_machines
from parcela.web.views.operations import OperationView, view_operation

USUAL: Mapping[SliceState, tuple[Action, ...]] = {
    SliceState.DRAFT: (Action.DEPLOY, Action.DESTROY),
    SliceState.DEPLOYING: (Action.DESTROY,),
    SliceState.RUNNING: (Action.REBOOT, Action.SUSPEND, Action.STOP, Action.RESET, Action.DESTROY),
    SliceState.DEGRADED: (Action.START, Action.REBOOT, Action.STOP, Action.RESET, Action.DESTROY),
    SliceState.STOPPING: (Action.DESTROY,),
    SliceState.STOPPED: (Action.START, Action.RESET, Action.DESTROY),
    SliceState.STARTING: (Action.DESTROY,),
    SliceState.PAUSED: (Action.RESUME, Action.STOP, Action.RESET, Action.DESTROY),
    SliceState.ERROR: (Action.DEPLOY, Action.DESTROY),
}
"""Buttons that stand first, by state. What is allowed beyond them would mostly change nothing, and is folded away."""
BUTTONS = tuple(action.value for action in Action if action is not Action.UPDATE)
EXTENSIONS_H = (1, 4, 8, 24, 72)


@dataclass(frozen=True, slots=True)
class SliceView:
    """Everything on the page of a slice.

    Attributes:
        row: columns of the slice, with ``owner``, ``zone`` and ``template``.
        shows_template: whether the reader may look at the template it was made from.
        ends_in: time left in words; None when it never ends.
        can_extend: whether the reader may set another end now.
        actions: the usual ones of those that the reader may take now; ``more`` are the others.
        operation: the one under way, else the last one that failed; None when there is nothing to tell.
        drawing: None when nothing is left of it.
    """

    row: Mapping[str, Any]
    state: SliceState
    shows_template: bool
    ends_in: str | None
    can_extend: bool
    actions: tuple[str, ...]
    more: tuple[str, ...]
    machines: tuple[Machine, ...]
    operation: OperationView | None
    drawing: Drawing | None

    @property
    def troubled(self) -> tuple[Machine, ...]:
        """Machines that need attention."""
        return tuple(m for m in self.machines if m.error or m.state is VmState.ERROR)

    @property
    def by_name(self) -> dict[str, Machine]:
        """Machines by name, for the drawing."""
        return {machine.name: machine for machine in self.machines}


async def slice_view(
    services: Services, uow: ReadUnitOfWork, caller: Caller, t: Translator, slice_id: int
) -> SliceView:
    """Gather it; ``not_found`` for strangers."""
    row = await services.slices.details(uow, caller, slice_id)
    slice_row = await services.slices.get(uow, caller, slice_id)
    vms = await uow.vms.of_slice(slice_id)
    wiring = await uow.segments.nics_of([vm.id for vm in vms])
    state = SliceState(row["state"])
    actions, more = split(row["allowed_actions"], USUAL.get(state, ()), BUTTONS)
    operation = await _operation(services, uow, caller, t, slice_id, vms, wiring)
    return SliceView(
        row=row,
        state=state,
        shows_template=await _shows_template(services, uow, caller, row["template_id"]),
        ends_in=ends_in(t, row["expires_at"], uow.clock()),
        can_extend=EXTEND in row["allowed_actions"],
        actions=actions,
        more=more,
        machines=view_machines(caller, slice_row, vms, wiring),
        operation=operation,
        drawing=draw(await _document(services, uow, caller, row, vms, wiring)) if vms else None,
    )


def ends_in(t: Translator, expires_at: datetime | None, now: datetime) -> str | None:
    """Time left in words."""
    return None if expires_at is None else duration(t, expires_at - now)


async def _operation(
    services: Services,
    uow: ReadUnitOfWork,
    caller: Caller,
    t: Translator,
    slice_id: int,
    vms: Sequence[VirtualMachine],
    wiring: Wiring,
) -> OperationView | None:
    page = await services.operations.page(uow, caller, PageRequest(limit=1, sort="-id"), slice_id=slice_id)
    if not page.rows:
        return None
    operation, steps = await services.operations.get(uow, caller, page.rows[0]["id"])
    allowed = await services.operations.allowed(uow, caller, operation)
    vm_names = {vm.id: vm.label or vm.name for vm in vms}
    segment_names = {segment.id: segment.name for _, segment in wiring if segment is not None}
    return view_operation(t, operation, steps, allowed, (vm_names, segment_names))


async def _shows_template(services: Services, uow: ReadUnitOfWork, caller: Caller, template_id: int | None) -> bool:
    if template_id is None:
        return False
    try:
        await services.templates.get(uow, caller, template_id)
    except ParcelaError:
        return False
    return True


async def _document(
    services: Services,
    uow: ReadUnitOfWork,
    caller: Caller,
    row: Mapping[str, Any],
    vms: Sequence[VirtualMachine],
    wiring: Wiring,
) -> TopologyDocument:
    """What the slice was made from; when that is gone or no longer shown to the reader, what it is made of."""
    template_id, number = row["template_id"], row["template_version"]
    if template_id is not None:
        with suppress(ParcelaError):
            version = await services.templates.version(uow, caller, template_id, number)
            return parse_document(version["document"])
    return _as_built(vms, wiring)


def _as_built(vms: Sequence[VirtualMachine], wiring: Wiring) -> TopologyDocument:
    names = {vm.id: vm.name for vm in vms}
    ends: dict[int, list[VmEnd]] = {}
    segments = {segment.id: segment for _, segment in wiring if segment is not None and segment.kind != "nat"}
    for nic, segment in wiring:
        if segment is not None and segment.id in segments:
            ends.setdefault(segment.id, []).append(VmEnd(vm=names[nic.vm_id], address=nic.address))
    public = {nic.vm_id for nic, _ in wiring if nic.is_public}
    edges: list[TemplateEdge] = []
    networks: list[TemplateNetwork] = []
    for segment_id, plugged in ends.items():
        name = segments[segment_id].name
        if segments[segment_id].kind == "edge" and len(plugged) == 2:
            edges.append(TemplateEdge(a=plugged[0], b=plugged[1]))
        else:
            networks.append(TemplateNetwork(name=name))
            edges += [TemplateEdge(a=end, b=NetworkEnd(network=name)) for end in plugged]
    drawn = tuple(
        TemplateVm(name=vm.name, label=vm.label or None, image="-", public_access=vm.id in public) for vm in vms
    )
    return TopologyDocument(vms=drawn, networks=tuple(networks), edges=tuple(edges))
