"""One slice: look at it, act on it, give it back."""

from typing import Annotated

from fastapi import Form, Path
from fastapi.responses import HTMLResponse, RedirectResponse

from parcela.core.errors import not_found
from parcela.core.lifecycle import Action
from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.web.dependencies.view import ReaderView, see_other
from parcela.web.routes import web_router
from parcela.web.views.machines import CONFIRMED
from parcela.web.views.slices import EXTENSIONS_H, slice_view

router = web_router()
SliceId = Annotated[int, Path(ge=1, le=2**63 - 1)]
ACTIONS = frozenset(Action) - {Action.UPDATE, Action.DEPLOY, Action.DESTROY}


@router.get("/slices/{slice_id}")
async def show_slice(
    slice_id: SliceId, services: AppServices, caller: Reader, uow: ReadUow, view: ReaderView
) -> HTMLResponse:
    """The machines, the drawing, what is under way, and what one can do."""
    shown = await slice_view(services, uow, caller, view.t, slice_id)
    return view.page("slice.html", fragment="slice.html", slice=shown, extensions_h=EXTENSIONS_H, confirmed=CONFIRMED)


@router.get("/slices/{slice_id}/confirm/{action}")
async def confirm(
    slice_id: SliceId, action: Action, services: AppServices, caller: Reader, uow: ReadUow, view: ReaderView
) -> HTMLResponse:
    """Say what will be lost, and ask."""
    if action not in CONFIRMED:
        raise not_found("page", action)
    await services.slices.check(uow, caller, slice_id, action.value)
    row = await services.slices.details(uow, caller, slice_id)
    return view.page(
        "confirm.html", what="slice", name=row["name"], action=action, back=f"/slices/{slice_id}", count=row["vm_count"]
    )


@router.post("/slices/{slice_id}/extend")
async def extend(
    slice_id: SliceId,
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    hours: Annotated[int, Form(ge=1, le=24 * 365)],
) -> RedirectResponse:
    """A new end of life, so many hours from now."""
    await services.slices.extend(uow, caller, slice_id, hours * 3600)
    return see_other(f"/slices/{slice_id}")


@router.post("/slices/{slice_id}/cancel/{operation_id}")
async def cancel(
    slice_id: SliceId, operation_id: SliceId, services: AppServices, caller: Writer, uow: WriteUow
) -> RedirectResponse:
    """Ask the operation under way to stop."""
    await services.operations.cancel(uow, caller, operation_id, slice_id=slice_id)
    return see_other(f"/slices/{slice_id}")


@router.post("/slices/{slice_id}/retry/{operation_id}")
async def retry(
    slice_id: SliceId, operation_id: SliceId, services: AppServices, caller: Writer, uow: WriteUow
) -> RedirectResponse:
    """Do an operation that failed or was cancelled again."""
    await services.retries.retry(uow, caller, operation_id, slice_id=slice_id)
    return see_other(f"/slices/{slice_id}")


@router.post("/slices/{slice_id}/{action}")
async def act(
    slice_id: SliceId, action: Action, services: AppServices, caller: Writer, uow: WriteUow
) -> RedirectResponse:
    """Start, stop, reboot, suspend, resume, reset, deploy or destroy."""
    if action is Action.DEPLOY:
        await services.slices.deploy(uow, caller, slice_id)
    elif action is Action.DESTROY:
        await services.slices.destroy(uow, caller, slice_id)
    elif action in ACTIONS:
        await services.slices.act(uow, caller, slice_id, action)
    else:
        raise not_found("page", action)
    return see_other(f"/slices/{slice_id}")
