"""``/slices``, ``/deployments/trigger`` and ``/flavours``."""

from dataclasses import replace
from typing import Any

from fastapi import Response

from parcela.api.compat.cloud import slice_schemas as schemas
from parcela.api.compat.cloud.caller import CloudCaller
from parcela.api.compat.cloud.errors import CloudRoute, SharedCloudRoute
from parcela.api.compat.cloud.slice_schemas import (
    Deployment,
    Destruction,
    FlavourRead,
    SliceDetails,
    SliceRead,
    Trigger,
)
from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.repositories.paging import MAX_LIMIT, PageRequest
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.compute.placement import hinted_zone
from parcela.services.compute.slices import SliceOrder
from parcela.services.compute.template_lists import descriptions, names_of_vms
from parcela.services.container import Services

router = json_router(tags=["cloud"], route_class=CloudRoute)
shared = json_router(tags=["cloud"], route_class=SharedCloudRoute)
CHANGING = problem_responses(401, 403, 404, 409, 413, 422, 503)
BUILDING = "The slice is being built."
DESTROYING = "The slice is being destroyed."
NOTE = "The slice is being removed from its hosts; this takes a moment."


@router.get("/slices", summary="List slices (cloud)", responses=problem_responses(401, 403, 422))
async def list_slices(
    services: AppServices,
    caller: CloudCaller,
    uow: ReadUow,
    response: Response,
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[SliceRead]:
    """Own slices, the newest first; without those that are being destroyed."""

    async def read(page: PageRequest) -> Any:
        return await services.slices.own(uow, caller, replace(page, sort="-created_at"))

    rows = await whole(read, response, limit, cursor)
    texts = await descriptions(uow, caller, {row["template_id"] or 0 for row in rows})
    return [SliceRead(**SliceRead.facts(row, texts)) for row in rows]


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
    slice_id = await _made(services, uow, caller, body, body.template_id)
    return SliceRead(**await _facts(services, uow, caller, slice_id))


@router.get("/slices/{slice_id}/details", summary="Show a slice (cloud)", responses=problem_responses(401, 404, 422))
async def slice_details(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: ReadUow) -> SliceDetails:
    """A slice with its VMs."""
    facts = await _facts(services, uow, caller, slice_id)
    vms = await uow.vms.page(PageRequest(limit=MAX_LIMIT), slice_id=slice_id)
    segments = await uow.segments.of_slice(slice_id)
    names = await names_of_vms(uow, facts["template_id"])
    return SliceDetails(
        **facts,
        vms=[schemas.SliceVm.of(vm, names) for vm in vms.rows],
        vlans=[schemas.Vlan(vlan_id=one.id, vlan_number=one.tag, name=one.name) for one in segments],
        vnc_ports=[],
    )


@shared.post("/slices/{slice_id}/destroy", summary="Destroy a slice (cloud)", responses=CHANGING)
async def destroy_slice(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Destruction:
    """Remove everything of it. The form of the page of this address goes to the page."""
    return await _destroyed(services, uow, caller, slice_id)


@router.delete("/slices/{slice_id}/destroy", summary="Destroy a slice by DELETE (cloud)", responses=CHANGING)
async def delete_slice(slice_id: RowId, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Destruction:
    """The same as POST."""
    return await _destroyed(services, uow, caller, slice_id)


@router.post(
    "/deployments/trigger",
    summary="Build a slice (cloud)",
    responses=CHANGING | problem_responses(400, 507),
)
async def trigger(body: Trigger, services: AppServices, caller: CloudCaller, uow: WriteUow) -> Deployment:
    """Of a slice that is a draft, or of a template: then the slice is made first. Both or neither."""
    slice_id = body.slice_id or await _made(services, uow, caller, body, body.template_id or 0)
    operation = await services.slices.deploy(uow, caller, slice_id)
    row = await services.slices.details(uow, caller, slice_id)
    return Deployment(
        deployment_id=operation.id,
        worker_job_id=operation.id,
        slice_id=slice_id,
        status=operation.state.upper(),
        message=BUILDING,
        details={name: row[name] for name in ("name", "zone", "vm_count")},
    )


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
            flavour_id=row["id"],
            id=row["id"],
            name=row["name"],
            vcpu=row["vcpus"],
            ram_gb=row["memory_mib"] / 1024,
            disk_gb=row["disk_gib"],
        )
        for row in rows
    ]


async def _made(services: Services, uow: WriteUow, caller: Caller, wish: schemas.SliceWish, template_id: int) -> int:
    zone = await hinted_zone(uow, wish.zone)
    order = SliceOrder(template_id=template_id, name=wish.name, zone=zone)
    return (await services.slices.create(uow, caller, order)).id


async def _facts(services: Services, uow: ReadUnitOfWork, caller: Caller, slice_id: int) -> dict[str, Any]:
    row = await services.slices.details(uow, caller, slice_id)
    texts = await descriptions(uow, caller, {row["template_id"] or 0})
    return SliceRead.facts(row, texts)


async def _destroyed(services: Services, uow: WriteUow, caller: Caller, slice_id: int) -> Destruction:
    operation = await services.slices.destroy(uow, caller, slice_id)
    segments = await uow.segments.of_slice(slice_id)
    status = operation.state.upper()
    return Destruction(
        deployment_id=operation.id,
        slice_id=slice_id,
        status=status,
        message=DESTROYING,
        note=NOTE,
        deployment_response={"operation_id": operation.id, "status": status},
        resources_released=schemas.Released(vlans=len(segments), vnc_ports=0),
    )
