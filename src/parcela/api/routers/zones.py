"""Availability zones: ``/zones/``."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Response

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, fields_set
from parcela.api.schemas.flavours import RowId, TextFilter
from parcela.api.schemas.zones import Provider, ZoneCreate, ZoneRead, ZoneUpdate
from parcela.core.permissions import Permission
from parcela.models import Zone
from parcela.services.access import Caller

router = v1_router("/zones", tags=["zones"])
Reader = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_WRITE))]


def _read(row: Zone) -> ZoneRead:
    return ZoneRead.model_validate(row)


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_zones(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    name: TextFilter = None,
    provider: Provider | None = None,
) -> PageRead[ZoneRead]:
    """List zones; sorted by id, name or created_at."""
    page = await services.zones.page(uow, caller, paging, name=name, provider=provider)
    return PageRead(items=[ZoneRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/", status_code=201, response_model=ZoneRead, responses=problem_responses(400, 401, 403, 409, 413, 422))
async def create_zone(
    body: ZoneCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Add a zone."""
    if replay := await idem.replay(partial(caller.require, Permission.CATALOGUE_WRITE)):
        return replay
    zone = await services.zones.create(uow, caller, **body.model_dump())
    return await idem.keep(201, _read(zone), f"/api/v1/zones/{zone.id}")


@router.get("/{zone_id}", responses=problem_responses(401, 403, 404, 422))
async def get_zone(zone_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> ZoneRead:
    """Read a zone."""
    return _read(await services.zones.get(uow, caller, zone_id))


@router.patch("/{zone_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_zone(
    zone_id: RowId, body: ZoneUpdate, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> ZoneRead:
    """Change name or description of a zone."""
    zone = await services.zones.update(uow, caller, zone_id, fields_set(body), precondition.of(_read))
    return _read(zone)


@router.delete("/{zone_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_zone(
    zone_id: RowId, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a zone without hosts that never had a slice or VM; `problems` lists what is in it."""
    await services.zones.delete(uow, caller, zone_id, precondition.of(_read))
