"""Plans of maintenance: ``/maintenance-plans/``."""

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
from parcela.api.schemas.flavours import RowId, RowIdFilter
from parcela.api.schemas.maintenance import MaintenanceRead, PlanCreate, PlanRead, PlanSummary, PlanUpdate
from parcela.core.machines import PlanTiming
from parcela.core.permissions import Permission
from parcela.services.access import Caller

router = v1_router("/maintenance-plans", tags=["maintenance"])
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_WRITE))]


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_plans(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    paging: Paging,
    machine_id: RowIdFilter = None,
    active: bool | None = None,
    timing: PlanTiming | None = None,
) -> PageRead[PlanSummary]:
    """List plans; sorted by id, title, next_due_on or created_at. `timing` finds what is due or overdue."""
    page = await services.inventory.plans.page(uow, caller, paging, machine_id=machine_id, active=active, timing=timing)
    return PageRead(items=[PlanSummary.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post("/", status_code=201, response_model=PlanRead, responses=problem_responses(400, 401, 403, 409, 413, 422))
async def create_plan(
    body: PlanCreate, services: AppServices, caller: Writer, uow: WriteUow, idem: Idempotent
) -> Response:
    """Plan maintenance, once or again and again. `host` lists the VMs that are in the way."""
    if replay := await idem.replay(partial(caller.require, Permission.MAINTENANCE_WRITE)):
        return replay
    plan = PlanRead.of(*await services.inventory.plans.create(uow, caller, fields_set(body)))
    return await idem.keep(201, plan, f"/api/v1/maintenance-plans/{plan.id}")


@router.get("/{plan_id}", responses=problem_responses(401, 403, 404, 422))
async def get_plan(plan_id: RowId, services: AppServices, caller: Reader, uow: ReadUow) -> PlanRead:
    """Read a plan."""
    return PlanRead.of(*await services.inventory.plans.get(uow, caller, plan_id))


@router.patch("/{plan_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422, 503))
async def update_plan(
    plan_id: RowId, body: PlanUpdate, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> PlanRead:
    """Change a plan, or call it off with `active`."""
    changed = await services.inventory.plans.update(
        uow, caller, plan_id, fields_set(body), precondition.of(PlanRead.of)
    )
    return PlanRead.of(*changed)


@router.delete("/{plan_id}", status_code=204, responses=problem_responses(401, 403, 404, 412, 422))
async def delete_plan(
    plan_id: RowId, services: AppServices, caller: Writer, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a plan; records that were made for it stay."""
    await services.inventory.plans.delete(uow, caller, plan_id, precondition.of(PlanRead.of))


@router.post("/{plan_id}/open", status_code=201, responses=problem_responses(401, 403, 404, 409, 422, 503))
async def open_plan(plan_id: RowId, services: AppServices, caller: Writer, uow: WriteUow) -> MaintenanceRead:
    """Open the maintenance that is planned; the plan goes on to its next date when it is finished."""
    return MaintenanceRead.of_view(await services.inventory.plans.open(uow, caller, plan_id))
