"""What the label on a machine leads to."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.permissions import Permission
from parcela.repositories.maintenance.store import MaintenanceRecord, RecordFilter
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.inventory.rules import MAX_CODE_CHARS
from parcela.web.dependencies.caller import Reader
from parcela.web.dependencies.uow import AppServices, ReadUow
from parcela.web.dependencies.view import ReaderView
from parcela.web.routes import web_router

router = web_router()
RECORDS_SHOWN = 20


@router.get("/machines/{code}")
async def show_machine(
    code: Annotated[str, Path(max_length=MAX_CODE_CHARS)],
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    view: ReaderView,
) -> HTMLResponse:
    """A machine of the lab, and what was done to it lately."""
    row = await services.inventory.machines.by_code(uow, caller, code)
    records = await _records(services, caller, uow, row["id"])
    return view.page("machine.html", row=row, records=records)


async def _records(
    services: Services, caller: Caller, uow: ReadUnitOfWork, machine_id: int
) -> list[MaintenanceRecord] | None:
    """The newest ones; None when the caller may not see them or their store does not answer."""
    if not caller.can(Permission.MAINTENANCE_READ):
        return None
    try:
        wanted = RecordFilter(machine_ids=(machine_id,))
        page, _ = await services.inventory.maintenance.page(uow, caller, wanted, limit=RECORDS_SHOWN)
    except ParcelaError as exc:
        if exc.kind is not ErrorKind.UNAVAILABLE:
            raise
        return None
    return list(page.records)
