"""``/api/maquinas``: the lab's machines."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query, Response

from parcela.api.compat.siglab.caller import Requires
from parcela.api.compat.siglab.errors import errors, siglab_router
from parcela.api.compat.siglab.lists import machine_rows
from parcela.api.compat.siglab.machine_schemas import (
    MOST,
    OWN_USER,
    Buscado,
    CambiosMaquina,
    Codigo,
    CodigoEnRuta,
    CuentaMes,
    Desde,
    Estado,
    Hecho,
    Limite,
    Maquina,
    MaquinaConCambios,
    MaquinaNombrada,
    MaquinaNueva,
    Tablero,
    Tipo,
    machine_out,
)
from parcela.api.compat.siglab.words import STATUS_NAMES
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.core.errors import Problem, invalid, not_found
from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.core.permissions import Permission
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.inventory.overview import Dashboard
from parcela.services.inventory.plausible_days import day_of

router = siglab_router("/api/maquinas")
Reader = Annotated[Caller, Depends(Requires(Permission.MACHINE_READ))]
Writer = Annotated[Caller, Depends(Requires(Permission.MACHINE_WRITE))]


@router.get("/listar", responses=errors(401, 403, 422))
async def listar(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    estado: Estado | None = None,
    area: Buscado | None = None,
    tipo: Tipo | None = None,
    limite: Limite = MOST,
    desde: Desde = None,
) -> list[Maquina]:
    """All machines in use, by code."""
    wanted = {"status": estado, "area": area, "type": tipo}
    found = await machine_rows(services, uow, caller, response, wanted, limit=limite, cursor=desde)
    return [machine_out(row) for row in found]


@router.get("/buscar", responses=errors(401, 403, 422))
async def buscar(
    services: AppServices,
    caller: Reader,
    uow: ReadUow,
    response: Response,
    termino: Annotated[Buscado | None, Query(description="A part of the code, in any case")] = None,
    q: Annotated[Buscado | None, Query(description="A part of code, type, area, serial or notes")] = None,
    codigo: Annotated[Buscado | None, Query(description="A code as a whole, in any case")] = None,
    codigo_equipo: Annotated[Buscado | None, Query(description="The same")] = None,
    limite: Limite = MOST,
    desde: Desde = None,
) -> list[Maquina]:
    """Machines by a part of what they are called, whatever the case."""
    wanted = {"search": q, "code_part": termino, "code": codigo or codigo_equipo}
    if all(value is None for value in wanted.values()):
        # A parameter that is misspelt would otherwise find everything.
        text = "Falta lo que se busca: 'termino', una parte del código."
        raise invalid("request_invalid", text, Problem("query.termino", text, "nothing_sought"))
    found = await machine_rows(services, uow, caller, response, wanted, limit=limite, cursor=desde)
    return [machine_out(row) for row in found]


@router.get("/dashboard", responses=errors(401, 403, 503))
async def tablero(services: AppServices, caller: Reader, uow: ReadUow) -> Tablero:
    """The inventory in figures; needs `maintenance:read` too."""
    found = await services.inventory.overview.dashboard(uow, caller)
    by_status = {STATUS_NAMES[MachineStatus(status)]: count for status, count in found.by_status.items()}
    return Tablero(
        total=sum(by_status.values()),
        por_estado=by_status,
        por_area=dict(found.by_area),
        por_tipo=dict(found.by_type),
        mantenimientos_por_mes=_months(found),
        vencidos=found.overdue_count,
        server_id=services.settings.public_server_id,
    )


@router.post("/agregar", responses=errors(400, 401, 403, 409, 413, 422))
async def agregar(body: MaquinaNueva, services: AppServices, caller: Writer, uow: WriteUow) -> Hecho:
    """Register a machine. One that was removed with this code comes back, with its history."""
    amend = await _user_fields(uow, caller, body.usuario or "")
    made, came_back = await services.inventory.machines.register(uow, caller, _days(uow, body.fields()), amend)
    text = "Máquina guardada; estaba archivada y conserva su historial" if came_back else "Máquina guardada"
    return Hecho(mensaje=text, codigo=made["code"])


@router.put("/actualizar", responses=errors(400, 401, 403, 404, 409, 413, 422))
async def actualizar(body: MaquinaConCambios, services: AppServices, caller: Writer, uow: WriteUow) -> Hecho:
    """Change the machine that the body names."""
    return await _update(services, uow, caller, body.codigo_equipo, body)


@router.put("/actualizar/{codigo}", responses=errors(400, 401, 403, 404, 409, 413, 422))
async def actualizar_codigo(
    codigo: CodigoEnRuta, body: CambiosMaquina, services: AppServices, caller: Writer, uow: WriteUow
) -> Hecho:
    """Change the machine that the address names."""
    return await _update(services, uow, caller, codigo, body)


@router.delete("/eliminar/{codigo}", responses=errors(401, 403, 404, 409, 422, 503))
async def eliminar(codigo: CodigoEnRuta, services: AppServices, caller: Writer, uow: WriteUow) -> Hecho:
    """Put a machine away: it leaves the lists, and its history stays."""
    return await _remove(services, uow, caller, codigo)


@router.delete("/eliminar", responses=errors(400, 401, 403, 404, 409, 413, 422, 503))
async def eliminar_nombrada(
    services: AppServices,
    caller: Writer,
    uow: WriteUow,
    body: MaquinaNombrada | None = None,
    codigo: Annotated[Codigo | None, Query(description="Instead of a body")] = None,
) -> Hecho:
    """The same for the machine that body or query name."""
    code = body.codigo_equipo if body else codigo
    if code is None:
        text = "Falta el código de la máquina."
        raise invalid("machine_invalid", text, Problem("body.codigo_equipo", text, "no_code"))
    return await _remove(services, uow, caller, code)


async def _remove(services: Services, uow: UnitOfWork, caller: Caller, code: str) -> Hecho:
    machine = await services.inventory.machines.by_code(uow, caller, code)
    if machine["archived_at"] is not None:
        raise not_found("machine", code)  # as for whoever removed it
    await services.inventory.machines.archive(uow, caller, machine["id"])
    return Hecho(mensaje="Máquina eliminada", codigo=machine["code"])


async def _update(services: Services, uow: UnitOfWork, caller: Caller, code: str, body: CambiosMaquina) -> Hecho:
    machine = await services.inventory.machines.by_code(uow, caller, code)
    body.refuse_new_texts(machine_out(machine))
    amend = await _user_fields(uow, caller, body.usuario)
    fields = _days(uow, body.fields(machine["type"]))
    changed = await services.inventory.machines.update(uow, caller, machine["id"], fields, amend=amend)
    return Hecho(mensaje="Máquina actualizada", codigo=changed["code"])


def _days(uow: UnitOfWork, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: day_of(uow, value) if isinstance(value, date) else value for name, value in fields.items()}


async def _user_fields(
    uow: UnitOfWork, caller: Caller, name: str | None
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What ``usuario`` makes of a machine: the responsible user, or a note where nobody is called so.

    Without ``user:read`` only the caller and who is responsible already are found: for any other name, the answer would
    tell whether it has an account.
    """
    written = (name or "").strip()
    user_id = await _user_called(uow, caller, written.lower())

    def amend(machine: Mapping[str, Any]) -> Mapping[str, Any]:
        if name is None:
            return {}
        others = {key: value for key, value in (machine["custom_fields"] or {}).items() if key != OWN_USER}
        is_same = bool(written) and written.lower() == machine["responsible"]
        found = machine["responsible_id"] if is_same else user_id
        kept = others if found or not written else others | {OWN_USER: written}
        return {"responsible_id": found, "custom_fields": kept}

    return amend


async def _user_called(uow: UnitOfWork, caller: Caller, name: str) -> int | None:
    """Id of the user with this username or e-mail address, of those whom the caller may look up."""
    if not name:
        return None
    if caller.can(Permission.USER_READ):
        user = await uow.users.by_identifier(name)
        return user.id if user else None
    myself = await uow.users.get(caller.user_id)
    return myself.id if name in {myself.username, myself.email} else None


def _months(found: Dashboard) -> list[CuentaMes]:
    counts: dict[str, dict[MaintenanceKind, int]] = {}
    for one in found.per_month or ():
        counts.setdefault(f"{one.month:%Y-%m}", {})[one.kind] = one.count
    return [
        CuentaMes(
            mes=month,
            preventivos=kinds.get(MaintenanceKind.PREVENTIVE, 0),
            correctivos=kinds.get(MaintenanceKind.CORRECTIVE, 0),
        )
        for month, kinds in sorted(counts.items())
    ]
