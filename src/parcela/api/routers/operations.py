"""Operations."""

from typing import Annotated

from fastapi import Path, Query

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.operations import OperationDetail, OperationRead, StepRead
from parcela.core.lifecycle import OperationState
from parcela.models import Operation
from parcela.services.catalogue.rules import TEXT_PATTERN

router = v1_router("/operations", tags=["operations"])
OperationId = Annotated[int, Path(ge=1, le=2**63 - 1)]
RowFilter = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


@router.get("/", summary="List operations", responses=problem_responses(401, 403, 422))
async def list_operations(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    slice_id: RowFilter = None,
    vm_id: RowFilter = None,
    state: OperationState | None = None,
    kind: Annotated[str | None, Query(max_length=32, pattern=TEXT_PATTERN)] = None,
) -> PageRead[OperationRead]:
    """Operations on own things; all of them with `operation:read_all`."""
    page = await services.operations.page(uow, caller, paging, slice_id=slice_id, vm_id=vm_id, state=state, kind=kind)
    return PageRead(items=[OperationRead.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{operation_id}", summary="Show an operation", responses=problem_responses(401, 404, 422))
async def get_operation(
    operation_id: OperationId, services: AppServices, caller: CurrentCaller, uow: ReadUow
) -> OperationDetail:
    """An operation with its steps."""
    operation, steps = await services.operations.get(uow, caller, operation_id)
    allowed = await services.operations.allowed(uow, caller, operation)
    return OperationDetail(
        **OperationRead.model_validate(operation).model_dump(),
        steps=[StepRead.model_validate(step) for step in steps],
        allowed_actions=list(allowed),
    )


@router.post(
    "/{operation_id}/cancel",
    summary="Cancel an operation",
    status_code=202,
    response_model=OperationRead,
    responses=problem_responses(401, 403, 404, 409, 422),
)
async def cancel_operation(
    operation_id: OperationId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> Operation:
    """Steps under way end; a deployment is undone."""
    return await services.operations.cancel(uow, caller, operation_id)


@router.post(
    "/{operation_id}/retry",
    summary="Do a failed or cancelled operation again",
    status_code=202,
    response_model=OperationRead,
    responses=problem_responses(401, 403, 404, 409, 422, 507),
)
async def retry_operation(
    operation_id: OperationId, services: AppServices, caller: CurrentCaller, uow: WriteUow
) -> Operation:
    """Opens a new operation of the same kind on the same thing."""
    return await services.retries.retry(uow, caller, operation_id)
