"""Slices."""

from functools import partial
from typing import Annotated

from fastapi import Path, Query, Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.idempotency import Idempotent
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import PageRead
from parcela.api.schemas.operations import OperationRead
from parcela.api.schemas.slices import SliceCreate, SliceDeploy, SliceDetail, SliceExtend, SliceRead
from parcela.api.schemas.vms import VmRead
from parcela.core.lifecycle import Action, SliceState
from parcela.models import Operation
from parcela.repositories.paging import PageRequest
from parcela.services.catalogue.rules import TEXT_PATTERN
from parcela.services.compute.slices import SliceOrder

router = v1_router("/slices", tags=["slices"])
SliceId = Annotated[int, Path(ge=1, le=2**63 - 1)]
CHANGING = problem_responses(401, 403, 404, 409, 412, 413, 422, 503)


def accepted(response: Response, operation: Operation) -> Operation:
    """The answer to everything that takes longer: 202, and where to look."""
    response.headers["Location"] = f"/api/v1/operations/{operation.id}"
    return operation


@router.get("/", summary="List slices", responses=problem_responses(401, 403, 422))
async def list_slices(
    services: AppServices,
    caller: CurrentCaller,
    uow: ReadUow,
    paging: Paging,
    state: SliceState | None = None,
    template_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    project_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    name: Annotated[str | None, Query(max_length=100, pattern=TEXT_PATTERN)] = None,
) -> PageRead[SliceRead]:
    """Own slices and those of projects you manage; destroyed ones appear only with `state=destroyed`."""
    filters = {"template_id": template_id, "project_id": project_id}
    page = await services.slices.page(uow, caller, paging, state=state, name=name, **filters)
    return PageRead(items=[SliceRead.model_validate(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/",
    summary="Make a slice of a template",
    status_code=201,
    response_model=SliceDetail,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def create_slice(
    body: SliceCreate, services: AppServices, caller: CurrentCaller, uow: WriteUow, idem: Idempotent
) -> Response:
    """A draft: nothing runs until it is deployed."""
    order = SliceOrder(**body.model_dump())
    may = partial(services.slices.check_create, uow, caller, order)
    if replay := await idem.replay(may, lambda kept: services.slices.get(uow, caller, kept["id"])):
        return replay
    row = await services.slices.create(uow, caller, order)
    details = await services.slices.details(uow, caller, row.id)
    return await idem.keep(201, SliceDetail.model_validate(details), f"/api/v1/slices/{row.id}")


@router.get("/{slice_id}", summary="Show a slice", responses=problem_responses(401, 404, 422))
async def get_slice(slice_id: SliceId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> SliceDetail:
    """One slice."""
    return SliceDetail.model_validate(await services.slices.details(uow, caller, slice_id))


@router.get("/{slice_id}/vms", summary="List the VMs of a slice", responses=problem_responses(401, 403, 404, 422))
async def list_slice_vms(slice_id: SliceId, services: AppServices, caller: CurrentCaller, uow: ReadUow) -> list[VmRead]:
    """All of them, in the order of the template."""
    await services.slices.get(uow, caller, slice_id)
    page = await services.vms.page(uow, caller, PageRequest(limit=200), slice_id=slice_id)
    return [VmRead.model_validate(row) for row in page.rows]


@router.post(
    "/{slice_id}/deploy",
    summary="Deploy a draft",
    status_code=202,
    response_model=OperationRead,
    responses=CHANGING | problem_responses(400, 507),
)
async def deploy_slice(
    slice_id: SliceId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    response: Response,
    precondition: Precondition,
    body: SliceDeploy | None = None,
) -> Operation:
    """Reserve capacity and build it on real hypervisors. A failure undoes everything."""
    paused, check = body.paused if body else False, precondition.of(SliceDetail.model_validate)
    return accepted(response, await services.slices.deploy(uow, caller, slice_id, paused=paused, check=check))


@router.post(
    "/{slice_id}/extend",
    summary="Extend the life of a slice",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422),
)
async def extend_slice(
    slice_id: SliceId,
    body: SliceExtend,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    precondition: Precondition,
) -> SliceDetail:
    """Set a new end of life, counted from now."""
    check = precondition.of(SliceDetail.model_validate)
    await services.slices.extend(uow, caller, slice_id, body.expires_in_s, check)
    return SliceDetail.model_validate(await services.slices.details(uow, caller, slice_id))


@router.delete(
    "/{slice_id}", summary="Destroy a slice", status_code=202, response_model=OperationRead, responses=CHANGING
)
async def destroy_slice(
    slice_id: SliceId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    response: Response,
    precondition: Precondition,
) -> Operation:
    """Remove everything of it from the hypervisors and give its capacity back.

    What is under way is cancelled; the answer is an operation that is `pending` until that has ended. Asked for again
    meanwhile, the answer is the same operation.
    """
    check = precondition.of(SliceDetail.model_validate)
    return accepted(response, await services.slices.destroy(uow, caller, slice_id, check))


@router.post(
    "/{slice_id}/stop", summary="Stop a slice", status_code=202, response_model=OperationRead, responses=CHANGING
)
async def stop_slice(
    slice_id: SliceId,
    services: AppServices,
    caller: CurrentCaller,
    uow: WriteUow,
    response: Response,
    precondition: Precondition,
    force: Annotated[bool, Query(description="Pull the plug at once; what the guest has not written is lost")] = False,
) -> Operation:
    """Press every VM's power button; pull the plug of those that do not react."""
    check = precondition.of(SliceDetail.model_validate)
    return accepted(response, await services.slices.act(uow, caller, slice_id, Action.STOP, check, force=force))


def _add_action(action: Action, summary: str, text: str) -> None:
    async def act(
        slice_id: SliceId,
        services: AppServices,
        caller: CurrentCaller,
        uow: WriteUow,
        response: Response,
        precondition: Precondition,
    ) -> Operation:
        check = precondition.of(SliceDetail.model_validate)
        return accepted(response, await services.slices.act(uow, caller, slice_id, action, check))

    router.add_api_route(
        f"/{{slice_id}}/{action.value}",
        act,
        methods=["POST"],
        name=f"{action.value}_slice",
        summary=summary,
        description=text,
        status_code=202,
        response_model=OperationRead,
        responses=CHANGING,
    )


_add_action(Action.START, "Start a slice", "Boot the VMs that are off.")
_add_action(Action.REBOOT, "Reboot a slice", "Restart every running VM.")
_add_action(Action.SUSPEND, "Suspend a slice", "Pause every running VM; memory stays.")
_add_action(Action.RESUME, "Resume a slice", "Let paused VMs go on.")
_add_action(
    Action.RESET, "Reset a slice", "Fresh disks for all VMs: same ids, MACs and addresses. What was on them is lost."
)
