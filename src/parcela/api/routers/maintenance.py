"""Maintenance records: ``/maintenance-records/``."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Response

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead, fields_set
from parcela.api.schemas.flavours import RowIdFilter
from parcela.api.schemas.machines import DayFilter, PartFilter, RecordId
from parcela.api.schemas.maintenance import (
    MaintenanceCreate,
    MaintenanceFinish,
    MaintenanceRead,
    MaintenanceSummary,
    MaintenanceUpdate,
)
from parcela.core.machines import MaintenanceKind, MaintenanceState
from parcela.core.permissions import Permission
from parcela.repositories.maintenance.store import MAX_PAGE, RecordFilter
from parcela.services.access import Caller

router = v1_router("/maintenance-records", tags=["maintenance"])
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_WRITE))]


@router.get("/", responses=problem_responses(401, 403, 422, 503))
async def list_records(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    machine_id: RowIdFilter = None,
    kind: MaintenanceKind | None = None,
    state: MaintenanceState | None = None,
    since: DayFilter = None,
    until: DayFilter = None,
    company: PartFilter = None,
    technician: PartFilter = None,
    search: Annotated[PartFilter, Query(description="A part of company, technician or notes")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    oldest_first: bool = False,
) -> PageRead[MaintenanceSummary]:
    """List maintenance records by the day they were performed on, newest first."""
    machines = None if machine_id is None else (machine_id,)
    wanted = RecordFilter(machines, kind, state, since, until, company or "", technician or "", search or "")
    page, codes = await services.inventory.maintenance.page(
        uow, caller, wanted, limit=limit, cursor=cursor, newest_first=not oldest_first
    )
    items = [MaintenanceSummary.of(one, codes.get(one.machine_id, "")) for one in page.records]
    return PageRead(items=items, next_cursor=page.next_cursor)


@router.post(
    "/", status_code=201, response_model=MaintenanceRead, responses=problem_responses(400, 401, 403, 409, 413, 422, 503)
)
async def create_record(
    body: MaintenanceCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Open maintenance on a machine, or write down what was done. `host` lists the VMs that are in the way."""
    if replay := await idem.replay(partial(caller.require, Permission.MAINTENANCE_WRITE)):
        return replay
    record = MaintenanceRead.of_view(await services.inventory.maintenance.create(uow, caller, fields_set(body)))
    return await idem.keep(201, record, f"/api/v1/maintenance-records/{record.id}")


@router.get("/{record_id}", responses=problem_responses(401, 403, 404, 422, 503))
async def get_record(record_id: RecordId, services: AppServices, caller: Reader, uow: ReadUow) -> MaintenanceRead:
    """Read a maintenance record."""
    return MaintenanceRead.of_view(await services.inventory.maintenance.get(uow, caller, record_id))


@router.patch("/{record_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422, 503))
async def update_record(
    record_id: RecordId,
    body: MaintenanceUpdate,
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    precondition: Precondition,
) -> MaintenanceRead:
    """Change what is said of a maintenance record; `begin` and `finish` change its state."""
    view = await services.inventory.maintenance.update(
        uow, caller, record_id, fields_set(body), precondition.of(MaintenanceRead.of_view)
    )
    return MaintenanceRead.of_view(view)


@router.delete("/{record_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422, 503))
async def delete_record(
    record_id: RecordId, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a maintenance record; an open one is given up."""
    await services.inventory.maintenance.delete(uow, caller, record_id, precondition.of(MaintenanceRead.of_view))


@router.post("/{record_id}/begin", responses=problem_responses(401, 403, 404, 409, 422, 503))
async def begin_record(record_id: RecordId, services: AppServices, caller: Writer, uow: WriteUow) -> MaintenanceRead:
    """Begin the work: the machine, and the host that it is, are in maintenance now."""
    return MaintenanceRead.of_view(await services.inventory.maintenance.begin(uow, caller, record_id))


@router.post("/{record_id}/finish", responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
async def finish_record(
    record_id: RecordId, body: MaintenanceFinish, services: AppServices, caller: Writer, uow: WriteUow
) -> MaintenanceRead:
    """Finish the work: the machine, and the host that it is, go back unless other maintenance holds them."""
    changes = fields_set(body)
    status = changes.pop("machine_status", body.machine_status)
    view = await services.inventory.maintenance.finish(uow, caller, record_id, changes=changes, machine_status=status)
    return MaintenanceRead.of_view(view)
