"""``/vms/``: real VMs of the one engine. Writes need the right to change everybody's, which administrators have."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.vms.changes import Change, Patience
from parcela.api.compat.vms.errors import VmsRoute, errors
from parcela.api.compat.vms.schemas import NewVm, VmChange, VmRead
from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.errors import Problem, invalid, not_found
from parcela.core.lifecycle import DesiredState
from parcela.core.permissions import Permission
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_words import ImageWords
from parcela.services.compute.vm_orders import VmOrder
from parcela.services.container import Services

router = json_router("/vms", tags=["vms"], route_class=VmsRoute, responses=errors(429))
Administrator = Annotated[Caller, Depends(Requires(Permission.VM_WRITE_ALL))]


async def _seen(services: Services, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> Mapping[str, Any]:
    """A VM; what was deleted is gone at once, as it was in the original, while the hosts still clear it away."""
    row = await services.vms.get(uow, caller, vm_id)
    if row["desired"] == DesiredState.DELETED.value:
        raise not_found("virtual machine", vm_id)
    return row


@router.get("/", summary="List VMs (vms)", responses=errors(401, 403, 422))
async def list_vms(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    response: Response,
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[VmRead]:
    """Own VMs; all of them with `vm:read_all`."""
    rows = await whole(lambda page: services.vms.page(uow, caller, page, staying=True), response, limit, cursor)
    return [VmRead.of(row) for row in rows]


@router.post("/", summary="Make a VM (vms)", status_code=201, responses=errors(400, 401, 403, 409, 413, 422, 503, 507))
async def create_vm(body: NewVm, services: AppServices, caller: Administrator, uow: WriteUow) -> VmRead:
    """A real one, which boots unless its `status` is `stopped`. Needs `vm:write_all`, which administrators have."""
    if body.status is DesiredState.PAUSED:
        text = "status: a new VM is running or stopped; it can be paused once it runs."
        raise invalid("bad_status", text, Problem("body.status", text, "bad_status"))
    words = await ImageWords.load(uow, caller)
    order = VmOrder(
        name=None,
        label=body.name,
        os=words.image(body.os),
        cores=body.cores,
        ram=body.ram,
        disk=body.disk,
        flavour=body.flavour,
    )
    if body.status is DesiredState.STOPPED:
        vm = await services.vms.define(uow, caller, order)
    else:
        vm, _ = await services.vms.create(uow, caller, order)
    return VmRead.of(await services.vms.get(uow, caller, vm.id))


@router.get("/{vm_id}", summary="Show a VM (vms)", responses=errors(401, 404, 422))
async def get_vm(vm_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> VmRead:
    """One VM."""
    return VmRead.of(await _seen(services, uow, caller, vm_id))


async def _when_free(
    vm_id: RowId, body: VmChange, request: Request, services: AppServices, caller: Administrator
) -> VmChange:
    """The change; held for some seconds while something works on the VM, if it has to wait for that."""
    patience: Patience = request.app.state.vms_patience
    await patience.until_free(services, caller, vm_id, body)
    return body


# Before the unit of work, which would keep every other writer waiting. The endpoint has the body from here: declared in
# both places it would be checked twice, and each error told twice.
Waited = Annotated[VmChange, Depends(_when_free)]


@router.put(
    "/{vm_id}",
    summary="Change a VM (vms)",
    responses=errors(400, 401, 403, 404, 409, 413, 422, 503, 507),
)
async def update_vm(vm_id: RowId, body: Waited, services: AppServices, caller: Administrator, uow: WriteUow) -> VmRead:
    """Needs `vm:write_all`. Sizes change while it is stopped, `name` always; `status` starts, stops or pauses it.

    While something else works on it the answer waits, for five seconds at most.
    """
    change = Change.of(await _seen(services, uow, caller, vm_id), body, await ImageWords.load(uow, caller))
    await change.make(services, uow, caller)
    return VmRead.of(await services.vms.get(uow, caller, vm_id))


@router.delete(
    "/{vm_id}", summary="Destroy a VM (vms)", status_code=204, responses=errors(401, 403, 404, 409, 422, 503)
)
async def delete_vm(vm_id: RowId, services: AppServices, caller: Administrator, uow: WriteUow) -> None:
    """Needs `vm:write_all`. It is gone for this API at once, and `vm_deleted` tells so; the host clears it away."""
    await _seen(services, uow, caller, vm_id)
    await services.vms.destroy(uow, caller, vm_id)
