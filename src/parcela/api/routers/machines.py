"""Machines of the lab: ``/machines/``."""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import FileResponse

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.dependencies.uploads import UNLIMITED, Upload, file_body
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, fields_set
from parcela.api.schemas.flavours import RowId, RowIdFilter, TextFilter
from parcela.api.schemas.machines import (
    ActivityRead,
    DayFilter,
    MachineCreate,
    MachineRead,
    MachineUpdate,
    PartFilter,
    StatusChangeRead,
)
from parcela.api.schemas.maintenance import DashboardRead
from parcela.core.machines import MachineStatus
from parcela.core.permissions import Permission
from parcela.services.access import Caller

Answers = dict[int | str, dict[str, Any]]
router = v1_router("/machines", tags=["machines"])
Reader = Annotated[Caller, Depends(Requires(Permission.MACHINE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MACHINE_WRITE))]
SVG: Answers = {200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}, "description": "The label"}}
PHOTO: Answers = {200: {"content": {"image/*": {"schema": {"type": "string"}}}, "description": "The photo"}}


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_machines(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    code: TextFilter = None,
    search: Annotated[PartFilter, Query(description="A part of code, serial, type, area or notes")] = None,
    status: MachineStatus | None = None,
    area: TextFilter = None,
    machine_type: Annotated[TextFilter, Query(alias="type")] = None,
    responsible_id: RowIdFilter = None,
    archived: Annotated[bool, Query(description="Show those that were archived instead")] = False,
    registered_since: DayFilter = None,
    registered_until: DayFilter = None,
) -> PageRead[MachineRead]:
    """List machines; sorted by id, code, type, area, status, created_at or updated_at. Case does not matter."""
    wanted: dict[str, Any] = {"code": code, "search": search, "status": status, "area": area, "type": machine_type}
    wanted |= {"responsible_id": responsible_id, "archived": archived}
    wanted |= {"registered_since": registered_since, "registered_until": registered_until}
    page = await services.inventory.machines.page(uow, caller, paging, **wanted)
    return PageRead(items=[MachineRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/", status_code=201, response_model=MachineRead, responses=problem_responses(400, 401, 403, 409, 413, 422)
)
async def create_machine(
    body: MachineCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Register a machine."""
    if replay := await idem.replay(partial(caller.require, Permission.MACHINE_WRITE)):
        return replay
    machine = MachineRead(**await services.inventory.machines.create(uow, caller, fields_set(body)))
    return await idem.keep(201, machine, f"/api/v1/machines/{machine.id}")


@router.get("/dashboard", responses=problem_responses(401, 403))
async def dashboard(
    services: AppServices,
    caller: Reader,
    _maintenance: Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))],
    uow: ReadUow,
) -> DashboardRead:
    """Numbers of the inventory: machines by status, area and type, maintenance per month, what is overdue."""
    return DashboardRead.model_validate(await services.inventory.overview.dashboard(uow, caller))


@router.get("/{machine_id}", responses=problem_responses(401, 403, 404, 422))
async def get_machine(machine_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> MachineRead:
    """Read a machine, archived or not."""
    return MachineRead(**await services.inventory.machines.get(uow, caller, machine_id))


@router.patch("/{machine_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_machine(
    machine_id: RowId,
    body: MachineUpdate,
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    precondition: Precondition,
) -> MachineRead:
    """Change a machine; its status goes by the life cycle, and every change of it is remembered."""
    row = await services.inventory.machines.update(
        uow, caller, machine_id, fields_set(body), precondition.of(MachineRead.model_validate)
    )
    return MachineRead(**row)


@router.delete("/{machine_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422, 503))
async def delete_machine(
    machine_id: RowId, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a machine. One with a history has to be archived first; its history goes with it then."""
    await services.inventory.machines.delete(uow, caller, machine_id, precondition.of(MachineRead.model_validate))


@router.post("/{machine_id}/archive", responses=problem_responses(401, 403, 404, 409, 422))
async def archive_machine(machine_id: RowId, services: AppServices, caller: Writer, uow: WriteUow) -> MachineRead:
    """Put a machine away: it leaves the lists, and its history stays."""
    return MachineRead(**await services.inventory.machines.archive(uow, caller, machine_id))


@router.post("/{machine_id}/restore", responses=problem_responses(401, 403, 404, 422))
async def restore_machine(machine_id: RowId, services: AppServices, caller: Writer, uow: WriteUow) -> MachineRead:
    """Take an archived machine back."""
    return MachineRead(**await services.inventory.machines.restore(uow, caller, machine_id))


@router.get("/{machine_id}/history", responses=problem_responses(401, 403, 404, 422))
async def machine_history(
    machine_id: RowId, services: AppServices, caller: Reader, uow: ReadUow, paging: Paging
) -> PageRead[StatusChangeRead]:
    """List the steps of a machine's life; sorted by id."""
    page = await services.inventory.machines.history(uow, caller, machine_id, paging)
    return PageRead(items=[StatusChangeRead(**row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{machine_id}/activity", responses=problem_responses(401, 403, 404, 422, 503))
async def machine_activity(
    machine_id: RowId,
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> PageRead[ActivityRead]:
    """List who did what to a machine, newest first."""
    page = await services.inventory.machines.activity(uow, caller, machine_id, limit=limit, cursor=cursor)
    return PageRead(items=[ActivityRead.model_validate(one) for one in page.entries], next_cursor=page.next_cursor)


@router.get(
    "/{machine_id}/label",
    response_class=Response,
    responses={**problem_responses(401, 403, 404, 422), **SVG},
)
async def machine_label(
    machine_id: RowId, request: Request, services: AppServices, caller: Reader, uow: ReadUow
) -> Response:
    """Draw the label of a machine: a QR code (SVG) of its address."""
    picture = await services.inventory.overview.label(uow, caller, machine_id, base_url=str(request.base_url))
    return Response(picture, media_type="image/svg+xml")


@router.get(
    "/{machine_id}/photo", response_class=FileResponse, responses={**problem_responses(401, 403, 404, 422), **PHOTO}
)
async def get_photo(machine_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> FileResponse:
    """Read the photo of a machine."""
    path, media_type = await services.inventory.attachments.photo(uow, caller, machine_id)
    return FileResponse(path, media_type=media_type)


@router.put(
    "/{machine_id}/photo",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
    openapi_extra=file_body("The photo itself: PNG, JPEG, WebP or GIF, recognised by its content"),
    max_body_size=UNLIMITED,
)
async def set_photo(
    machine_id: RowId, services: AppServices, caller: Writer, upload: Upload, uow: WriteUow
) -> MachineRead:
    """Give a machine its photo."""
    await services.inventory.attachments.set_photo(uow, caller, machine_id, upload)
    await uow.flush()  # the answer is read from the row
    return MachineRead(**await services.inventory.machines.get(uow, caller, machine_id))


@router.delete("/{machine_id}/photo", status_code=204, responses=problem_responses(401, 403, 404, 409, 422))
async def delete_photo(machine_id: RowId, services: AppServices, caller: Writer, uow: WriteUow) -> None:
    """Take a machine's photo away."""
    await services.inventory.attachments.remove_photo(uow, caller, machine_id)
