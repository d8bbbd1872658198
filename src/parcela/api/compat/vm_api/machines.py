"""``/api/v1/virtual-machines/`` for clients of ``vm_api``: arrays, GB, and 200 for everything that went well."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from parcela.api.compat.vm_api.routing import marked_router
from parcela.api.compat.vm_api.schemas import Limit, NewVm, Skip, VmChanges, VmRead, vm_of
from parcela.api.compat.vms.changes import Change, Patience
from parcela.api.compat.vms.schemas import VmChange
from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.etags import Precondition
from parcela.core.errors import Problem, invalid, not_found
from parcela.core.lifecycle import DesiredState
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_words import ImageWords
from parcela.services.compute.vm_orders import VmOrder
from parcela.services.container import Services

router = marked_router("/virtual-machines")
VmId = Annotated[int, Path(ge=1, le=2**63 - 1)]


async def _seen(services: Services, uow: ReadUnitOfWork, caller: Caller, vm_id: int) -> Mapping[str, Any]:
    """A VM; what was deleted is gone at once, as it was in the original, while the hosts still clear it away."""
    row = await services.vms.get(uow, caller, vm_id)
    if row["desired"] == DesiredState.DELETED.value:
        raise not_found("virtual machine", vm_id)
    return row


@router.get("/")
async def list_vms(
    services: AppServices, caller: CurrentCaller, uow: ReadUow, skip: Skip = 0, limit: Limit = 100
) -> list[VmRead]:
    """Own VMs and those of projects one manages, by id; all of them with `vm:read_all`."""
    page = await services.vms.page(uow, caller, PageRequest(limit=limit, skip=skip), staying=True)
    return [vm_of(row) for row in page.rows]


@router.post("/")
async def create_vm(body: NewVm, services: AppServices, caller: CurrentCaller, uow: WriteUow) -> VmRead:
    """A real one. 200, as in the original."""
    if body.status not in {DesiredState.RUNNING, DesiredState.STOPPED}:
        text = "A new VM is 'running' or 'stopped'; suspend it once it runs."
        raise invalid("bad_status", text, Problem("body.status", text, "bad_status"))
    image = (await ImageWords.load(uow, caller)).image(body.os)
    order = VmOrder(name=None, label=body.name, os=image, cores=body.cores, ram=body.ram, disk=body.disk)
    if body.status is DesiredState.RUNNING:
        vm, _ = await services.vms.create(uow, caller, order)
    else:
        vm = await services.vms.define(uow, caller, order)
    return vm_of(await services.vms.get(uow, caller, vm.id))


@router.get("/{vm_id}")
async def get_vm(vm_id: VmId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> VmRead:
    """One VM; those of others are not there (404)."""
    return vm_of(await _seen(services, uow, caller, vm_id))


async def _when_free(
    vm_id: VmId, body: VmChanges, request: Request, services: AppServices, caller: CurrentCaller
) -> VmChange:
    """The change; held for some seconds while something works on the VM, if it has to wait for that."""
    patience: Patience = request.app.state.vms_patience
    change = body.as_change()
    await patience.until_free(services, caller, vm_id, change)
    return change


# Before the unit of work, which would keep every other writer waiting.
Waited = Annotated[VmChange, Depends(_when_free)]


@router.put("/{vm_id}")
async def update_vm(
    vm_id: VmId,
    body: Waited,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> VmRead:
    """Change sizes and status; what is sent back as it was read changes nothing."""
    seen = await _seen(services, uow, caller, vm_id)
    change = Change.of(seen, body, await ImageWords.load(uow, caller))
    await change.make(services, uow, caller, precondition.of(vm_of))
    return vm_of(await services.vms.get(uow, caller, vm_id))


@router.delete("/{vm_id}")
async def delete_vm(
    vm_id: VmId, services: AppServices, caller: CurrentCaller, uow: WriteUow, precondition: Precondition
) -> VmRead:
    """Remove a VM; the answer is how it was. It is gone for this API at once."""
    seen = await _seen(services, uow, caller, vm_id)
    await services.vms.destroy(uow, caller, vm_id, precondition.of(vm_of))
    return vm_of(seen)
