"""``/api/mantenimientos``: what was done to the machines."""

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from parcela.api.compat.siglab.caller import Requires
from parcela.api.compat.siglab.errors import errors, siglab_router
from parcela.api.compat.siglab.lists import NEXT, machine_rows, records
from parcela.api.compat.siglab.machine_schemas import (
    MOST,
    Buscado,
    Clase,
    Codigo,
    CodigoEnRuta,
    Desde,
    Limite,
    Mantenimiento,
    MantenimientoHecho,
    MantenimientoNuevo,
    MaquinaConHistorial,
    MaquinaInformada,
    history_out,
)
from parcela.api.compat.siglab.words import FORM_STATUSES, KIND_NAMES, TYPE_NAMES
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.report_files import FILES, file_answer
from parcela.core.errors import ErrorKind, ParcelaError
from parcela.core.machines import MachineStatus, MaintenanceKind, MaintenanceState
from parcela.core.permissions import Permission
from parcela.repositories.maintenance.store import RecordFilter
from parcela.services.access import Caller
from parcela.services.inventory.plausible_days import day_of
from parcela.services.reports.report import Entry, Format, MachineSummary, Report
from parcela.services.reports.service import Wanted

router = siglab_router("/api/mantenimientos")
pages = siglab_router("/api/mantenimiento")
"""Addresses of the pages, which say it in the singular."""
MOST_RECORDS = 20_000
NEVER_KEPT = {"Cache-Control": "no-cache, no-store, must-revalidate"}
Reader = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MAINTENANCE_WRITE))]


@pages.post("/agregar", responses=errors(400, 401, 403, 404, 409, 413, 422, 503))
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
    day = {} if body.fecha is None else {"performed_on": day_of(uow, body.fecha)}
    made = await services.inventory.maintenance.create(uow, caller, fields | day)
    return MantenimientoHecho(mensaje="Mantenimiento registrado", codigo_maquina=made.machine_code, id=made.record.id)


@pages.get("/listar/{codigo}", responses=errors(401, 403, 422, 503))
async def listar(
    codigo: CodigoEnRuta, services: AppServices, caller: Reader, uow: ReadUow, response: Response
) -> list[Mantenimiento]:
    """The records of a machine, the newest first; none for a code that is not there. Needs `machine:read` too."""
    response.headers.update(NEVER_KEPT)
    rows = await machine_rows(services, uow, caller, response, {"code": codigo, "archived": None}, limit=1)
    wanted = RecordFilter(machine_ids=tuple(row["id"] for row in rows))
    return await records(services, uow, caller, response, wanted, limit=MOST)


@pages.get("/informe-general", responses=errors(401, 403, 413, 422, 503))
async def informe_general(
    services: AppServices, caller: Reader, uow: ReadUow, response: Response, codigo: Buscado | None = None
) -> list[MaquinaConHistorial]:
    """The machines in use whose code has a part, or all, with their records. Needs `machine:read` too."""
    response.headers.update(NEVER_KEPT)
    rows = await machine_rows(services, uow, caller, response, {"code_part": codigo}, limit=MOST)
    wanted = RecordFilter(machine_ids=tuple(row["id"] for row in rows))
    found = await records(services, uow, caller, response, wanted, limit=MOST_RECORDS)
    if NEXT in response.headers:
        text = f"The report would have more than {MOST} machines or {MOST_RECORDS} records; name a part of the code."
        raise ParcelaError(ErrorKind.TOO_LARGE, "report_too_large", text)
    by_code: dict[str, list[Mantenimiento]] = {row["code"]: [] for row in rows}
    for record in found:
        by_code[record.codigo_maquina].append(record)
    return [history_out(row, by_code[row["code"]]) for row in rows]


@router.get("/historial/{codigo}", responses=errors(401, 403, 404, 422, 503))
async def historial(
    codigo: CodigoEnRuta,
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    limite: Limite = MOST,
    desde: Desde = None,
) -> list[Mantenimiento]:
    """The records of a machine, the newest first; needs `machine:read` too."""
    response.headers.update(NEVER_KEPT)
    machine = await services.inventory.machines.by_code(uow, caller, codigo)
    wanted = RecordFilter(machine_ids=(machine["id"],))
    return await records(services, uow, caller, response, wanted, limit=limite, cursor=desde)


@router.get("/todos", responses=errors(401, 403, 422, 503))
async def todos(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    tipo: Clase | None = None,
    limite: Limite = MOST,
    desde: Desde = None,
) -> list[Mantenimiento]:
    """The records of all machines, the newest first."""
    response.headers.update(NEVER_KEPT)
    wanted = RecordFilter(kind=None if tipo is None else MaintenanceKind(tipo))
    return await records(services, uow, caller, response, wanted, limit=limite, cursor=desde)


@router.get("/informe", response_model=list[MaquinaInformada], responses=FILES | errors(401, 403, 404, 413, 422, 503))
async def informe(
    services: AppServices,
    caller: Reader,
    codigo: Codigo | None = None,
    area: Buscado | None = None,
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
        tipo=TYPE_NAMES.get(row.machine.kind, row.machine.kind),
        area=row.machine.area,
        estado=row.machine.status_word or (FORM_STATUSES[MachineStatus(status)] if status else ""),
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
