"""``/vms/``: real VMs of the one engine. Writes need the right to change everybody's, which administrators have."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Response

from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.vms.errors import VmsRoute, errors
from parcela.api.compat.vms.schemas import NewVm, VmChange, VmRead
from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.errors import not_found
from parcela.core.lifecycle import DesiredState
from parcela.core.permissions import Permission
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services import vms as rules
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.vm_orders import VmOrder

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
    rows = await whole(lambda page: services.vms.page(uow, caller, page), response, limit, cursor)
    return [VmRead.model_validate(row) for row in rows if row["desired"] != DesiredState.DELETED.value]


@router.post("/", summary="Make a VM (vms)", status_code=201, responses=errors(400, 401, 403, 409, 413, 422, 503, 507))
async def create_vm(body: NewVm, services: AppServices, caller: Administrator, uow: WriteUow) -> VmRead:
    """A real one: it boots. Needs `vm:write_all`, which administrators have."""
    vm, _ = await services.vms.create(uow, caller, VmOrder(**body.model_dump()))
    return VmRead.model_validate(await services.vms.get(uow, caller, vm.id))


@router.get("/{vm_id}", summary="Show a VM (vms)", responses=errors(401, 404, 422))
async def get_vm(vm_id: RowId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> VmRead:
    """One VM."""
    return VmRead.model_validate(await _seen(services, uow, caller, vm_id))


@router.put("/{vm_id}", summary="Change a VM (vms)", responses=errors(400, 401, 403, 404, 409, 413, 422, 503, 507))
async def update_vm(
    vm_id: RowId, body: VmChange, services: AppServices, caller: Administrator, uow: WriteUow
) -> VmRead:
    """Needs `vm:write_all`. Name and sizes change while it is off; `status` starts it afterwards or stops it before."""
    await _seen(services, uow, caller, vm_id)
    change = rules.VmChange(name=body.name, cores=body.cores, ram=body.ram, disk=body.disk)
    sent = rules.SentBack(os=body.os, owner_id=body.owner_id, status=body.status)
    await services.vms.replace(uow, caller, vm_id, change, sent)
    return VmRead.model_validate(await services.vms.get(uow, caller, vm_id))


@router.delete(
    "/{vm_id}", summary="Destroy a VM (vms)", status_code=204, responses=errors(401, 403, 404, 409, 422, 503)
)
async def delete_vm(vm_id: RowId, services: AppServices, caller: Administrator, uow: WriteUow) -> None:
    """Needs `vm:write_all`. It is gone for this API at once; `vm_deleted` comes when no host has it any more."""
    await _seen(services, uow, caller, vm_id)
    await services.vms.destroy(uow, caller, vm_id)
