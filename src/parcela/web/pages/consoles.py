"""The console of a machine; its bytes travel over the WebSocket of the API, opened with a ticket from here."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from fastapi import Form, Path
from fastapi.responses import HTMLResponse, JSONResponse

from parcela.core.errors import ParcelaError
from parcela.core.lifecycle import VmState
from parcela.models import VirtualMachine
from parcela.services.allowed_compute import VM_OPEN
from parcela.services.compute.consoles.consoles import ConsoleKind
from parcela.web.dependencies.caller import Reader, Writer
from parcela.web.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.web.dependencies.view import ReaderView
from parcela.web.routes import web_router

router = web_router()
VmId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/vms/{vm_id}/console")
async def console(
    vm_id: VmId,
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    view: ReaderView,
    kind: ConsoleKind = ConsoleKind.SERIAL,
) -> HTMLResponse:
    """A page that is all console, with the way to its sisters in the same slice."""
    await services.consoles.check_right(uow, caller, vm_id)
    row = await services.vms.get(uow, caller, vm_id)
    sisters: Sequence[VirtualMachine] = ()
    with suppress(ParcelaError):  # who may use all VMs need not see all slices
        sisters = await services.slices.vms(uow, caller, row["slice_id"]) if row["slice_id"] else ()
    back = f"/slices/{row['slice_id']}" if sisters else "/"
    is_on = VmState(row["state"]) in VM_OPEN
    return view.page("console.html", vm=row, kind=kind.value, sisters=sisters, is_on=is_on, back=back)


@router.post("/vms/{vm_id}/console/ticket")
async def ticket(
    vm_id: VmId, services: AppServices, caller: Writer, uow: WriteUow, kind: Annotated[ConsoleKind, Form()]
) -> JSONResponse:
    """The address to open within half a minute, once."""
    made = await services.consoles.ticket(uow, caller, vm_id, kind)
    address = f"/api/v1/virtual-machines/{vm_id}/console/{kind.value}?ticket={made.secret}"
    return JSONResponse({"url": address}, status_code=201, headers={"Cache-Control": "no-store"})
