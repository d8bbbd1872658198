"""``/slices``, ``/deployments/trigger`` and ``/flavours``."""

from fastapi import Response

from parcela.api.compat.cloud import schemas
from parcela.api.compat.cloud.caller import CloudCaller
from parcela.api.compat.cloud.schemas import Deployment, FlavourRead, SliceDetails, SliceRead, SliceVm, Trigger
from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.negotiation import SharedRoute
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.models import Operation
from parcela.repositories.paging import MAX_LIMIT, PageRequest
from parcela.services.slices import SliceOrder

router = json_router(tags=["cloud"])
shared = json_router(tags=["cloud"], route_class=SharedRoute)
CHANGING = problem_responses(401, 403, 404, 409, 413, 422, 503)


@router.get("/slices", summary="List slices (cloud)", responses=problem_responses(401, 403, 422))
async def list_slices(
    services: AppServices,
    caller: CloudCaller,
    uow: ReadUow,
    response: Response,
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[SliceRead]:
    """Own slices; all of them with `slice:read_all`. Destroyed ones are gone."""
    rows = await whole(lambda page: services.slices.page(uow, caller, page), response, limit, cursor)
    return [SliceRead.model_validate(row) for row in rows]


@router.post(
    "/slices",
    summary="Make a slice (cloud)",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def create_slice(
    body: schemas.SliceOrder, services: AppServices, caller: CloudCaller, uow: WriteUow
) -> SliceRead:
    """A draft of a template; `/deployments/trigger` builds it."""
    order = SliceOrder(template_id=body.template_id, name=body.name)
    row = await services.slices.create(uow, caller, order)
    return SliceRead.model_validate(await services.slices.details(uow, caller, row.id))


@router.get("/slices/{slice_id}/details", summary="Show a slice (cloud)", responses=problem_responses(401, 404, 422))
async def slice_details(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: ReadUow) -> SliceDetails:
    """A slice with its VMs."""
    row = await services.slices.details(uow, caller, slice_id)
    vms = await uow.vms.page(PageRequest(limit=MAX_LIMIT), slice_id=slice_id)
    return SliceDetails.model_validate({**row, "vms": [SliceVm.of(vm) for vm in vms.rows]})


@shared.post("/slices/{slice_id}/destroy", summary="Destroy a slice (cloud)", status_code=202, responses=CHANGING)
async def destroy_slice(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Deployment:
    """Remove everything of it. The form of the page of this address goes to the page."""
    return _begun(await services.slices.destroy(uow, caller, slice_id), slice_id)


@router.delete(
    "/slices/{slice_id}/destroy", summary="Destroy a slice by DELETE (cloud)", status_code=202, responses=CHANGING
)
async def delete_slice(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Deployment:
    """The same as POST."""
    return _begun(await services.slices.destroy(uow, caller, slice_id), slice_id)


@router.post(
    "/deployments/trigger",
    summary="Build a slice (cloud)",
    status_code=202,
    responses=CHANGING | problem_responses(400, 507),
)
async def trigger(body: Trigger, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Deployment:
    """Of a slice that is a draft, or of a template: then the slice is made first. Both or neither."""
    slice_id = body.slice_id or 0
    if body.template_id is not None:
        order = SliceOrder(template_id=body.template_id, name=body.name)
        slice_id = (await services.slices.create(uow, caller, order)).id
    return _begun(await services.slices.deploy(uow, caller, slice_id), slice_id)


@router.get("/flavours", summary="List flavours (cloud)", responses=problem_responses(401, 403, 422))
async def list_flavours(
    services: AppServices,
    caller: CloudCaller,
    uow: ReadUow,
    response: Response,
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[FlavourRead]:
    """Named sizes."""
    rows = await whole(lambda page: services.flavours.page(uow, caller, page), response, limit, cursor)
    return [
        FlavourRead(
            id=row["id"],
            name=row["name"],
            vcpu=row["vcpus"],
            ram_gb=row["memory_mib"] / 1024,
            disk_gb=row["disk_gib"],
        )
        for row in rows
    ]


def _begun(operation: Operation, slice_id: int) -> Deployment:
    return Deployment(deployment_id=operation.id, slice_id=slice_id, status=operation.state)
