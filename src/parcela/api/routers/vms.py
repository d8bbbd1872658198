"""Virtual machines."""

from functools import partial
from typing import Annotated

from fastapi import Path, Query, Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routers.slices import CHANGING, accepted
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, PageWriter
from parcela.api.schemas.operations import OperationRead
from parcela.api.schemas.vms import ConsoleRequest, ConsoleTicketRead, NicRead, VmCreate, VmDetail, VmRead, VmUpdate
from parcela.core.labels import MAX_LABEL
from parcela.core.lifecycle import Action, VmState
from parcela.models import Operation
from parcela.repositories.paging import PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.repositories.vms import VmFilters
from parcela.services.access import Caller
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.compute.vm_orders import VmOrder
from parcela.services.compute.vms import SentBack, VmChange
from parcela.services.container import Services

router = v1_router("/virtual-machines", tags=["virtual machines"])
_LIST = PageWriter(VmRead)
VmId = Annotated[int, Path(ge=1, le=2**63 - 1)]


async def read_page(services: Services, uow: ReadUnitOfWork, caller: Caller, paging: PageRequest) -> bytes:
    """A page of the list without filters, as ``list_vms`` gives it."""
    page = await services.vms.page(uow, caller, paging)
    return _LIST.write(page.rows, page.next_cursor)


@router.get("/", summary="List VMs", response_model=PageRead[VmRead], responses=problem_responses(401, 403, 422))
async def list_vms(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    status: VmState | None = None,
    name: Annotated[str | None, Query(max_length=63, pattern=TEXT_PATTERN)] = None,
    label: Annotated[str | None, Query(max_length=MAX_LABEL, pattern=TEXT_PATTERN)] = None,
    slice_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    host_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    project_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """Own VMs and those of projects you manage; all of them with `vm:read_all`.

    Deleted ones appear only with `status=deleted`.
    """
    filters = VmFilters(name=name, label=label, slice_id=slice_id, host_id=host_id, project_id=project_id)
    page = await services.vms.page(uow, caller, paging, state=status, **filters)
    return Response(_LIST.write(page.rows, page.next_cursor), media_type="application/json")


@router.post(
    "/",
    summary="Make a stand-alone VM",
    status_code=201,
    response_model=VmDetail,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503, 507),
)
async def create_vm(
    body: VmCreate, services: AppServices, caller: CurrentCaller, uow: WriteUow, idem: Idempotent
) -> Response:
    """A real one: it boots. `os` picks the image; a flavour or `cores`, `ram` and `disk` size it."""
    may = partial(services.vms.check_create, uow, caller, body.project_id)
    if replay := await idem.replay(may, lambda kept: services.vms.get(uow, caller, kept["id"])):
        return replay
    fields = body.model_dump()
    fields["ssh_keys"] = tuple(fields["ssh_keys"])
    vm, _ = await services.vms.create(uow, caller, VmOrder(**fields))
    read = VmDetail.model_validate(await services.vms.details(uow, caller, vm.id))
    return await idem.keep(201, read, f"/api/v1/virtual-machines/{vm.id}")


@router.get("/{vm_id}", summary="Show a VM", responses=problem_responses(401, 404, 422))
async def get_vm(vm_id: VmId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> VmDetail:
    """One VM."""
    return VmDetail.model_validate(await services.vms.details(uow, caller, vm_id))


@router.put(
    "/{vm_id}",
    summary="Change a VM",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422, 503, 507),
)
async def update_vm(
    vm_id: VmId,
    body: VmUpdate,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> VmDetail:
    """Name and sizes can be changed while it is stopped (409 names the fields that need a stop), the label always.

    Another `status`, `running` or `stopped`, starts it afterwards or stops it before, in the same operation.
    """
    sent = SentBack(os=body.os, owner_id=body.owner_id, status=body.status)
    change = VmChange(**body.model_dump(exclude={"os", "owner_id", "status"}))
    await services.vms.replace(uow, caller, vm_id, change, sent, precondition.of(VmDetail.model_validate))
    return VmDetail.model_validate(await services.vms.details(uow, caller, vm_id))


@router.delete("/{vm_id}", summary="Destroy a VM", status_code=202, response_model=OperationRead, responses=CHANGING)
async def destroy_vm(
    vm_id: VmId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    response: Response,
    precondition: Precondition,
) -> Operation:
    """Remove a stand-alone VM and everything of it.

    What is under way is cancelled; the answer is an operation that is `pending` until that has ended. Asked for again
    meanwhile, the answer is the same operation.
    """
    check = precondition.of(VmDetail.model_validate)
    return accepted(response, await services.vms.destroy(uow, caller, vm_id, check))


@router.get("/{vm_id}/nics", summary="List the network cards of a VM", responses=problem_responses(401, 404, 422))
async def list_nics(vm_id: VmId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> list[NicRead]:
    """In the order the guest sees them."""
    return [
        NicRead(
            position=nic.position,
            mac=nic.mac,
            segment=segment.name if segment else None,
            kind=segment.kind if segment else None,
            address=nic.address,
            leased_address=nic.leased_address,
            is_public=nic.is_public,
        )
        for nic, segment in await services.vms.nics(uow, caller, vm_id)
    ]


@router.post(
    "/{vm_id}/console",
    summary="Get a console ticket",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422),
)
async def console_ticket(
    vm_id: VmId, body: ConsoleRequest, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> ConsoleTicketRead:
    """Open the WebSocket at `url` with `?ticket=` within 30 seconds; binary frames are the console's bytes."""
    ticket = await services.consoles.ticket(uow, caller, vm_id, body.kind)
    url = f"/api/v1/virtual-machines/{vm_id}/console/{body.kind.value}"
    return ConsoleTicketRead(ticket=ticket.secret, url=url, expires_at=ticket.expires_at)


@router.post("/{vm_id}/stop", summary="Stop a VM", status_code=202, response_model=OperationRead, responses=CHANGING)
async def stop_vm(
    vm_id: VmId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    response: Response,
    precondition: Precondition,
    force: Annotated[bool, Query(description="Pull the plug at once; what the guest has not written is lost")] = False,
) -> Operation:
    """Press its power button; pull the plug when it does not react."""
    check = precondition.of(VmDetail.model_validate)
    return accepted(response, await services.vms.act(uow, caller, vm_id, Action.STOP, check, force=force))


def _add_action(action: Action, summary: str, text: str, *more: int) -> None:
    async def act(
        vm_id: VmId,
        services: AppServices,
        caller: CurrentCaller,
        uow: WriteUow,
        response: Response,
        precondition: Precondition,
    ) -> Operation:
        check = precondition.of(VmDetail.model_validate)
        return accepted(response, await services.vms.act(uow, caller, vm_id, action, check))

    router.add_api_route(
        f"/{{vm_id}}/{action.value}",
        act,
        methods=["POST"],
        name=f"{action.value}_vm",
        summary=summary,
        description=text,
        status_code=202,
        response_model=OperationRead,
        responses=CHANGING | problem_responses(*more),
    )


_add_action(Action.START, "Start a VM", "Boot it; one in error is made whole again first.", 507)
_add_action(Action.REBOOT, "Reboot a VM", "Restart it.")
_add_action(Action.SUSPEND, "Suspend a VM", "Pause it; memory stays.")
_add_action(Action.RESUME, "Resume a VM", "Let it go on.")
_add_action(Action.RESET, "Reset a VM", "A fresh disk: same id, MACs and addresses. What was on it is lost.")
