"""Acting on one machine."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse, RedirectResponse

from parcela.core.errors import not_found
from parcela.core.lifecycle import Action
from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.web.dependencies.view import ReaderView, see_other
from parcela.web.routes import web_router
from parcela.web.views.machines import CONFIRMED

router = web_router()
VmId = Annotated[int, Path(ge=1, le=2**63 - 1)]
ACTIONS = frozenset(Action) - {Action.UPDATE, Action.DEPLOY, Action.DESTROY}


@router.get("/vms/{vm_id}/confirm/reset")
async def confirm_reset(
    vm_id: VmId, services: AppServices, caller: Reader, uow: ReadUow, view: ReaderView
) -> HTMLResponse:
    """Say what will be lost, and ask."""
    await services.vms.check(uow, caller, vm_id, Action.RESET.value)
    row = await services.vms.get(uow, caller, vm_id)
    (action,) = CONFIRMED & {Action.RESET}
    return view.page(
        "confirm.html",
        what="vm",
        name=row["label"] or row["name"],
        action=action,
        back=_page_of(row["slice_id"]),
        count=1,
    )


@router.post("/vms/{vm_id}/{action}")
async def act(vm_id: VmId, action: Action, services: AppServices, caller: Writer, uow: WriteUow) -> RedirectResponse:
    """Start, stop, reboot, resume or reset."""
    if action not in ACTIONS:
        raise not_found("page", action)
    operation = await services.vms.act(uow, caller, vm_id, action)
    return see_other(_page_of(operation.slice_id))


def _page_of(slice_id: int | None) -> str:
    return f"/slices/{slice_id}" if slice_id else "/"
