"""``/api/mantenimientos``: what was done to the machines."""

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from parcela.api.compat.siglab.caller import Requires
from parcela.api.compat.siglab.errors import SiglabRoute, errors
from parcela.api.compat.siglab.machine_schemas import (
    Clase,
    Codigo,
    CodigoEnRuta,
    Desde,
    Limite,
    Mantenimiento,
    MantenimientoHecho,
    MantenimientoNuevo,
    MaquinaInformada,
    Texto,
    record_out,
)
from parcela.api.compat.siglab.machines import NEXT
from parcela.api.compat.siglab.words import KIND_NAMES, STATUS_NAMES
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.report_files import FILES, file_answer
from parcela.api.routing import json_router
from parcela.core.machines import MachineStatus, MaintenanceKind, MaintenanceState
from parcela.core.permissions import Permission
from parcela.repositories.maintenance.port import MAX_PAGE, RecordFilter
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.reports.report import Entry, Format, MachineSummary, Report
from parcela.services.reports.service import Wanted

router = json_router("/api/mantenimientos", tags=["siglab"], route_class=SiglabRoute, responses=errors(429))
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_WRITE))]


@router.post("/agregar", responses=errors(400, 401, 403, 404, 409, 413, 422, 503))
async def agregar(body: MantenimientoNuevo, services: AppServices, caller: Writer, uow: WriteUow) -> MantenimientoHecho:
    """Write down what was done to a machine."""
    fields = {
        "machine_code": body.codigo_maquina,
        "kind": body.tipo,
        "state": MaintenanceState.DONE.value,
        "company": body.empresa,
        "technician": body.tecnico,
        "notes": body.observaciones,
    }
    day = {} if body.fecha is None else {"performed_on": body.fecha}
    made = await services.inventory.maintenance.create(uow, caller, fields | day)
    return MantenimientoHecho(mensaje="Mantenimiento registrado", id=made.record.id)


@router.get("/historial/{codigo}", responses=errors(401, 403, 404, 422, 503))
async def historial(
    codigo: CodigoEnRuta,
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    limite: Limite = 1000,
    desde: Desde = None,
) -> list[Mantenimiento]:
    """The records of a machine, the newest first; needs `machine:read` too."""
    machine = await services.inventory.machines.by_code(uow, caller, codigo)
    wanted = RecordFilter(machine_ids=(machine["id"],))
    return await _records(services, uow, caller, response, wanted, limite, desde)


@router.get("/todos", responses=errors(401, 403, 422, 503))
async def todos(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    tipo: Clase | None = None,
    limite: Limite = 1000,
    desde: Desde = None,
) -> list[Mantenimiento]:
    """The records of all machines, the newest first."""
    wanted = RecordFilter(kind=None if tipo is None else MaintenanceKind(tipo))
    return await _records(services, uow, caller, response, wanted, limite, desde)


@router.get("/informe", response_model=list[MaquinaInformada], responses=FILES | errors(401, 403, 404, 413, 422, 503))
async def informe(
    services: AppServices,
    caller: Reader,
    codigo: Codigo | None = None,
    area: Texto | None = None,
    formato: Annotated[Format, Query(description="`csv` has the records only")] = Format.JSON,
) -> Response | list[MaquinaInformada]:
    """The report of one machine or of all; needs `machine:read` too."""
    # The unit of work ends before the file is written: that takes seconds.
    async with services.uows.read() as uow:
        machine = await services.inventory.machines.by_code(uow, caller, codigo) if codigo else None
        wanted = Wanted(machine["id"] if machine else None, area)
        report = await services.reports.build(uow, caller, wanted, locale="es")
    if formato is Format.JSON:
        return _informed(report)
    return file_answer(report, formato, await services.reports.render(report, formato))


def _informed(report: Report) -> list[MaquinaInformada]:
    records: dict[str, list[dict[str, Any]]] = {}
    for entry in report.entries:
        records.setdefault(entry.machine_code, []).append(_entry(entry))
    return [_machine(row, records.get(row.machine.code, [])) for row in report.machines]


def _machine(row: MachineSummary, records: list[dict[str, Any]]) -> MaquinaInformada:
    status = row.machine.status
    return MaquinaInformada(
        codigo=row.machine.code,
        tipo=row.machine.kind,
        area=row.machine.area,
        estado=STATUS_NAMES[MachineStatus(status)] if status else "",
        total_mantenimientos=len(records),
        ultimo_mantenimiento=row.last_maintenance,
        dias_entre_fallas=row.days_between_failures,
        mantenimientos=records,
    )


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "codigo_maquina": entry.machine_code,
        "empresa": entry.company,
        "tecnico": entry.technician,
        "tipo": KIND_NAMES[MaintenanceKind(entry.kind)],
        "fecha": entry.day.isoformat(),
        "observaciones": entry.notes,
    }


async def _records(
    services: Services,
    uow: ReadUnitOfWork,
    caller: Caller,
    response: Response,
    wanted: RecordFilter,
    limit: int,
    cursor: str | None,
) -> list[Mantenimiento]:
    """Pages of records, one after the other, up to a limit."""
    found: list[Mantenimiento] = []
    while len(found) < limit:
        size = min(MAX_PAGE, limit - len(found))
        page, codes = await services.inventory.maintenance.page(uow, caller, wanted, limit=size, cursor=cursor)
        found += [record_out(record, codes.get(record.machine_id, "")) for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found
    response.headers[NEXT] = str(cursor)
    return found
