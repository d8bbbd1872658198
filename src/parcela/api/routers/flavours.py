"""Flavours: ``/flavours/``."""

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
from parcela.api.schemas.flavours import FlavourCreate, FlavourRead, FlavourUpdate, ForceDelete, RowId, TextFilter
from parcela.core.permissions import Permission
from parcela.models import Flavour
from parcela.services.access import Caller

router = v1_router("/flavours", tags=["flavours"])
Reader = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.CATALOGUE_WRITE))]


def _read(row: Flavour) -> FlavourRead:
    return FlavourRead.model_validate(row)


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_flavours(
    services: AppServices, caller: Reader, uow: ReadUow, paging: Paging, name: TextFilter = None
) -> PageRead[FlavourRead]:
    """List flavours; sorted by id, name, vcpus, memory_mib, disk_gib or created_at."""
    page = await services.flavours.page(uow, caller, paging, name=name)
    return PageRead(items=[FlavourRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/", status_code=201, response_model=FlavourRead, responses=problem_responses(400, 401, 403, 409, 413, 422)
)
async def create_flavour(
    body: FlavourCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Add a flavour."""
    if replay := await idem.replay(partial(caller.require, Permission.CATALOGUE_WRITE)):
        return replay
    flavour = await services.flavours.create(uow, caller, **body.model_dump())
    return await idem.keep(201, _read(flavour), f"/api/v1/flavours/{flavour.id}")


@router.get("/{flavour_id}", responses=problem_responses(401, 403, 404, 422))
async def get_flavour(flavour_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> FlavourRead:
    """Read a flavour."""
    return _read(await services.flavours.get(uow, caller, flavour_id))


@router.patch("/{flavour_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_flavour(
    flavour_id: RowId,
    body: FlavourUpdate,
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    precondition: Precondition,
) -> FlavourRead:
    """Change a flavour; VMs made with it keep their size."""
    flavour = await services.flavours.update(uow, caller, flavour_id, fields_set(body), precondition.of(_read))
    return _read(flavour)


@router.delete("/{flavour_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_flavour(
    flavour_id: RowId,
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    precondition: Precondition,
    force: ForceDelete = False,
) -> None:
    """Remove a flavour that no template uses; `problems` lists those that do. VMs made with it keep their size."""
    await services.flavours.delete(uow, caller, flavour_id, precondition.of(_read), force=force)
