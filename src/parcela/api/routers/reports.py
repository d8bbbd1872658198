"""Reports of maintenance: ``/reports/maintenance`` and ``/machines/{machine_id}/report``."""

from typing import Annotated

from fastapi import Depends, Response

from parcela.api.dependencies.caller import Requires
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.api.report_files import FILES, file_answer
from parcela.api.routing import v1_router
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.reports import AllMachinesWanted, ReportQuery, ReportRead, ReportWanted
from parcela.core.permissions import Permission
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.reports.report import Format
from parcela.services.reports.service import Wanted

router = v1_router(tags=["reports"])
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
ERRORS = FILES | problem_responses(401, 403, 413, 422, 503)


@router.get("/reports/maintenance", response_model=ReportRead, responses=ERRORS)
async def report_all_machines(query: AllMachinesWanted, services: AppServices, caller: Reader) -> Response | ReportRead:
    """Report the maintenance of all machines, or of those of an area or type."""
    wanted = Wanted(None, query.area, query.type, query.kind, query.since, query.until)
    return await _answer(services, caller, wanted, query)


@router.get("/machines/{machine_id}/report", response_model=ReportRead, responses=ERRORS | problem_responses(404))
async def report_machine(
    machine_id: RowId, query: ReportWanted, services: AppServices, caller: Reader
) -> Response | ReportRead:
    """Report the maintenance of one machine."""
    wanted = Wanted(machine_id, kind=query.kind, since=query.since, until=query.until)
    return await _answer(services, caller, wanted, query)


async def _answer(services: Services, caller: Caller, wanted: Wanted, query: ReportQuery) -> Response | ReportRead:
    # The unit of work ends before the file is written: that takes seconds, and would keep a connection from others.
    async with services.uows.read() as uow:
        report = await services.reports.build(uow, caller, wanted, locale=query.lang or caller.locale)
    if query.format is Format.JSON:
        return ReportRead.model_validate(report)
    return file_answer(report, query.format, await services.reports.render(report, query.format))
